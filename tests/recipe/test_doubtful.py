"""Recipes with several mistakes: the fields of steps are checked although other steps have problems."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf.errors import RecipeError
from mminf.recipe.dataflow import input_fields
from mminf.recipe.lines import load_document

from ..fuzz import fuzz

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
BROKEN_BEFORE = """
engines: {{llm: {{backend: scripted, answer: hello}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - {broken}
  - generate: {{name: ask, engine: llm, prompt: "{{{{ made }}}} {{{{ wanted }}}}", writes: asked}}
sinks: [{{jsonl: o.jsonl}}]
"""


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        mminf.load(path, **options)
    return [problem.message for problem in caught.value.problems]


@pytest.fixture
def told(tmp_path: Path, rows: Callable[..., Path]) -> Callable[[str], list[str]]:
    """Returns the problems of a recipe that has a broken step before one that reads `made` and `wanted`."""
    rows({"question": "?"})

    def tell(broken: str) -> list[str]:
        path = tmp_path / "r.yaml"
        path.write_text(BROKEN_BEFORE.format(broken=broken))
        return problems(path)

    return tell


@pytest.mark.parametrize(
    ("broken", "first"),
    [
        ("generat: {engine: llm, prompt: hello, writes: made}", "unknown step 'generat'"),
        ("generate: {engine: llm, prompt: hello, writes: made, attempts: many}", "attempts: must be a whole number"),
        ("generate: {engine: llm, prompt: hello, writes: made, sampling: {temperature: hot}}", "temperature: must be"),
        ("generate: {engine: llm, template: none_such, writes: made}", "no template 'none_such'"),
        ("generate: {engine: llm, prompt: '{{ question', writes: made}", "step 'generate': "),
        ("generate: {engine: llm, prompt: hello, writes: made, zzz: x}", "unknown key 'zzz'"),
        ("set: {made: question|}", "step 'set': "),
        ("set: {fields: {made: '1'}, when: 'question =='}", "step 'set': "),
    ],
)
def test_a_field_that_nothing_provides_is_reported_with_a_broken_step(
    broken: str, first: str, told: Callable[[str], list[str]]
) -> None:
    found = told(broken)
    assert any(first in message for message in found), found
    assert "step 'ask' reads field 'wanted', but nothing provides it" in found
    assert not any("'made'" in message and "provides" in message for message in found), "the broken step writes it"


@pytest.mark.parametrize(
    "broken",
    [
        "no_such_step_at_all: {engine: llm}",
        "generate: {engine: llm, prompt: hello, writes: [1]}",
        "generate",
        "{set: {a: '1'}, keep: a}",
        "repeat: {times: many, steps: [{set: {a: '1'}}]}",
        "extract: {reads: question}",
    ],
)
def test_fields_after_a_step_that_may_write_anything_are_not_reported(
    broken: str, told: Callable[[str], list[str]]
) -> None:
    assert not any("reads field" in message for message in told(broken))


def test_fields_before_any_broken_step_are_reported(write_recipe: Callable[..., Path]) -> None:
    path = write_recipe(
        "engines: {llm: {backend: scripted, answer: x}}\nsource: {images: pictures}\nsteps:\n"
        '  - generate: {engine: llm, prompt: "{{ wanted }} {{ later }}", writes: a}\n'
        "  - no_such_step_at_all: {}\n  - set: {later: '1'}\nsinks: [{jsonl: o.jsonl}]\n"
    )
    found = problems(path, peek=False)
    assert "step 'generate' reads field 'wanted', but no earlier step provides it" in found[1]
    assert "step 'set', which writes it, comes later" in found[0]


def test_columns_of_the_input_are_read_only_with_peek(
    write_recipe: Callable[..., Path], rows: Callable[..., Path]
) -> None:
    rows({"question": "?"})
    path = write_recipe(
        "engines: {llm: {backend: scripted, answer: x}}\nsource: {jsonl: rows.jsonl}\nsteps:\n"
        '  - generate: {engine: lm, prompt: "{{ qestion }}", writes: a}\n'
        "sinks: [{swift: {path: o.jsonl}}]\n"
    )
    found = problems(path)
    assert "step 'generate' reads field 'qestion', but nothing provides it; did you mean 'question'?" in found
    assert "writes field 'response', but no step and no column provides it" in found
    assert problems(path, peek=False) == ["step 'generate': no engine 'lm'; did you mean 'llm'?"]
    with pytest.raises(RecipeError) as caught:
        mminf.validate(path)
    assert len(caught.value.problems) == 1, "validate reads no input"


def test_an_input_that_is_missing_is_reported_with_the_mistakes_of_the_recipe(
    write_recipe: Callable[..., Path],
) -> None:
    path = write_recipe("source: {jsonl: none.jsonl}\nsteps: [{keep: 'a ='}]\nsinks: []\n")
    *_, last = problems(path)
    assert last.endswith("none.jsonl does not exist; give one with --input")


ENGINE = "engines: {llm: {backend: scripted, answer: hello}}\n"
ROWS = ENGINE + "source: {jsonl: rows.jsonl}\n"
READS = "  - refusal: {reads: made}\nsinks: []\n"


@pytest.mark.parametrize(
    "text",
    [
        "source: {jsonl: {path: rows.jsonl, colums: {made: question}}}\nsteps:\n" + READS,
        "source: {text: {path: rows.jsonl, feild: made}}\nsteps:\n" + READS,
        ROWS + "steps: []\nsinks: [{swift: {path: o.jsonl, user: question, asistant: question}}]\n",
        ROWS + "steps: {generate: {engine: llm, prompt: x, writes: a}}\nsinks: [{swift: o.jsonl}]\n",
        ROWS + 'steps: [{generate: {engine: llm, foreach: turns, prompt: "{{ made }}", writes: a}}]\nsinks: []\n',
        ROWS + "steps: [{parts: {read: question}}, {image_size: {enable: false}}]\nsinks: []\n",
        ROWS + "steps: [{refusal: {reads: made, enabled: false, bad: 1}}]\nsinks: []\n",
        ROWS + "steps:\n  - repeat: {times: 2, steps: [{set: {name: s1, a: question}}]}\n"
        "  - repeat: {times: 2, steps: [{set: {name: s2, made: question}}]}\n" + READS,
        ROWS + "steps:\n  - repeat: {times: 2, nme: made, until: a, steps: [{set: {a: question}}]}\n"
        "  - keep: made_done\nsinks: []\n",
        ROWS + "steps:\n  - extract: {reads: question, regex: '(?P<made>.+) x', when: 'a =='}\n" + READS,
        ROWS + "steps:\n  - extrct: {reads: question, regex: '(?P<made>.+) x'}\n" + READS,
        ROWS + "steps:\n  - generate: {engine: llm, template: nope, extract: {regex: '(?P<made>.+) x'}}\n" + READS,
        ROWS + "steps:\n  - generate: {engine: llm, prompt: hi, writes: answer-en, attempts: many}\n"
        "  - refusal: {reads: answer-en}\nsinks: [{swift: {path: o, user: question, assistant: answer-en}}]\n",
        ROWS + 'steps:\n  - score: {name: one, engine: llm, prompt: "{{ question }}"}\n'
        '  - score: {name: one, engine: llm, prompt: "{{ question }}"}\n' + READS,
        ROWS + "steps:\n  - generate: {engine: llm, prompt: hi, extract: {a: {}}}\n" + READS,
        ROWS + "plugins: own.py\nsteps:\n  - shaped: {shape: par}\n" + READS,
        ROWS + "plugins: own.py\nsteps:\n  - shaped: {shap: pair}\n" + READS,
        ROWS + "plugins: own.py\nsteps:\n  - raising: {writes: a, wrong: 1}\n" + READS,
        ROWS + "steps: [{generat: {engine: llm, prompt: hi}}]\nsinks: [{jsonl: {path: o, dropped_by: generate}}]\n",
    ],
)
def test_no_field_is_reported_that_the_mended_recipe_provides(
    text: str, tmp_path: Path, rows: Callable[..., Path], own_plugins: None
) -> None:
    rows({"question": "?"})
    (tmp_path / "own.py").write_text(PLUGIN)
    path = tmp_path / "r.yaml"
    path.write_text(text)
    for message in problems(path):
        assert "provides" not in message, message
        assert "if a column has another name" not in message, message
        assert "dropped_by" not in message, message


PLUGIN = """
from typing import Literal
from mminf.step import Step, StepConfig, step

class ShapedConfig(StepConfig):
    shape: Literal["one", "pair"] = "one"

@step("shaped")
class Shaped(Step[ShapedConfig]):
    @property
    def writes(self):
        return frozenset(["made"] if self.config.shape == "pair" else [])

    async def run(self, record, ctx):
        return {}

class RaisingConfig(StepConfig):
    writes: str

@step("raising")
class Raising(Step[RaisingConfig]):
    @property
    def reads(self):
        raise KeyError("reads")

    async def run(self, record, ctx):
        return {}
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            ROWS + "steps: [{keep: question}]\nsinks: [{jsonl: {path: o.jsonl, where: 'a ='}}]\n",
            "not a valid expression",
        ),
        (ROWS + "steps: [null]\nsinks: []\n", "a step must be one `type: settings`, not None"),
        (ROWS + "steps:\n  -\n  - refusal: {reads: nope}\nsinks: []\n", "a step must be one"),
        (ROWS + "steps: [null, null]\nsinks: []\nname: two words\n", "name: must contain"),
    ],
)
def test_problems_are_told_where_the_rest_can_not_be_checked(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    for peek in (True, False):
        assert any(told in message for message in problems(path, peek=peek))


def test_a_file_whose_name_is_no_name_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "my recipe.yaml"
    path.write_text("source: {jsonl: rows.jsonl}\nsteps: []\nsinks: []\n")
    assert any("name: must contain" in message for message in problems(path))


def test_reading_the_columns_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn scenes and embedded images are files, which a run writes to its output."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.yaml"
    path.write_text("source: {drawn: {count: 3}}\nsteps: [{keep: 'a ='}]\nsinks: []\n")
    (tmp_path / "out").touch()  # no folder
    assert len(problems(path)) == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "r.yaml"]


@pytest.mark.parametrize("error", ["KeyError('x')", "OSError('x')", "RuntimeError('x')"])
def test_a_plugin_that_fails_hides_no_problem(error: str, tmp_path: Path, own_plugins: None) -> None:
    (tmp_path / "own.py").write_text(
        "from mminf.sink import Sink, sink\nfrom mminf.source import Source, source\n\n"
        f'@source("bad")\nclass Bad(Source):\n    def __init__(self, *_):\n        raise {error}\n\n'
        f'@sink("worse")\nclass Worse(Sink):\n    def __init__(self, *_):\n        raise {error}\n'
    )
    path = tmp_path / "r.yaml"
    path.write_text("plugins: own.py\nsource: {bad: x}\nsteps: [{keep: 'a ='}]\nsinks: [{worse: o.txt}]\n")
    (told,) = problems(path)
    assert told.startswith("step 'keep': expression 'a =' line 1: ")


def test_names_of_settings_are_no_suggestions(told: Callable[[str], list[str]]) -> None:
    found = told("generate: {engine: llm, prompt: hi, writes: wanteds, attempts: many, sampling: {wante: 1}}")
    assert any("'wanted', but nothing provides it" in message for message in found)
    assert not any("did you mean 'wante'" in message for message in found)


WRONG = st.sampled_from([None, True, -7, 0.5, "", "a b", "{{", [[]], {"a": {}}, ["a", 1]])


def mistake(data: st.DataObject, content: dict[str, Any]) -> None:
    """Makes a mistake in a step, a source or a sink of a recipe, so that it may still be valid."""
    parts = [(content["steps"], number) for number in range(len(content["steps"]))]
    parts += [(content["sinks"], number) for number in range(len(content["sinks"]))]
    parts += [(content, "source")] * 3 if "source" in content else []
    owner, where = data.draw(st.sampled_from(parts))
    broken = owner[where]
    kind, body = next(iter(broken.items()))
    keys = sorted(body.keys() - {"name"}) if isinstance(body, dict) else []
    change = data.draw(st.sampled_from(["type", "key", "unknown", "value", "null"] if keys else ["type", "null"]))
    if change == "type":
        broken[f"{kind}e"] = broken.pop(kind)
    elif change == "null":
        owner[where] = None
    elif change == "key":
        del body[data.draw(st.sampled_from(keys))]
    elif change == "unknown":  # a misspelt key
        key = data.draw(st.sampled_from(keys))
        body[key + key[-1]] = body.pop(key)
    else:
        body[data.draw(st.sampled_from([*keys, "when", "attempts", "writes"]))] = data.draw(WRONG)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
@given(data=st.data())
@fuzz(12)
def test_a_mistake_makes_no_other_part_lack_a_field(recipe: Path, data: st.DataObject) -> None:
    """All fields of a bundled recipe are provided, so that none is missing, whatever the mistake in it is."""
    content = load_document(recipe).data
    whole = mminf.load(recipe)
    mistake(data, content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / recipe.name
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        if whole.source is not None and whole.source.type in ("jsonl", "text"):
            columns = {name for names in whole.source.config.columns.values() for name in names}
            row = dict.fromkeys({*input_fields(whole.steps), *columns}, "x")
            Path(folder, whole.source.config.path.name).write_text(json.dumps(row) + "\n")
        try:
            mminf.load(path)
        except RecipeError as error:
            told = [problem.message for problem in error.problems]
            lacking = [message for message in told if "provides" in message or "another name" in message]
            assert not lacking or len(lacking) == len(told), told

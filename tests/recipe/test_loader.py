from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import mminf
from mminf.errors import PluginError, RecipeError
from mminf.recipe.lines import Document
from mminf.recipe.loader import load_recipe
from mminf.recipe.problems import find_problems
from mminf.registry import STEPS

from ..fuzz import fuzz

GOOD = """\
name: small
engines:
  llm: {backend: scripted, answer: fine}
source: {jsonl: rows.jsonl}
steps:
  - generate: {engine: llm, prompt: "Say {{ text }}"}
  - keep: response != ''
sinks:
  - jsonl: out.jsonl
profiles:
  quick:
    engines: {llm: {backend: scripted, answer: quick}}
    steps:
      generate: {attempts: 1}
      keep: false
"""


def problems(path: Path, **options: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, **options)  # type: ignore[arg-type]
    return [str(problem).removeprefix(f"{path.parent}/") for problem in caught.value.problems]


def test_a_good_recipe_gets_its_defaults(write_recipe: Callable[..., Path]) -> None:
    recipe = load_recipe(write_recipe(GOOD))
    assert [step.name for step in recipe.steps] == ["generate", "keep"]
    assert recipe.steps[0].config.attempts == 3
    assert recipe.steps[0].reads == {"text"}
    assert recipe.steps[0].writes == {"response"}
    assert recipe.resolved()["steps"][0]["template"] == "Say {{ text }}"


def test_all_problems_are_reported_at_once_with_line_and_nearest_key(write_recipe: Callable[..., Path]) -> None:
    path = write_recipe(
        """\
name: bad
engins: {}
engines:
  llm: {backend: scriptd, answer: yes}
  vlm: {backend: scripted, anser: yes}
steps:
  - generat: {engine: llm}
  - generate:
      engine: lm
      prompt: x
      sampling: {temprature: 1}
  - keep: a >=
  - score: {engine: llm, template: missing.jinja}
  - keep: true
sinks:
  - jsonl: ../out.jsonl
"""
    )
    found = problems(path)
    expected = [
        "recipe.yaml:2: unknown key 'engins'; did you mean 'engines'?",
        "recipe.yaml:4: unknown backend 'scriptd'; did you mean 'scripted'?",
        "recipe.yaml:5: engine 'vlm': unknown key 'anser'; did you mean 'answer'?",
        "recipe.yaml:7: unknown step 'generat'; did you mean 'generate'?",
        "recipe.yaml:11: step 'generate': unknown key 'temprature'; did you mean 'temperature'?",
        "recipe.yaml:14: duplicate step name 'keep'; give this step another `name`",
        "recipe.yaml:16: sink 'jsonl': path: '../out.jsonl' is not below the output folder",
    ]
    for problem in expected:
        assert problem in found
    assert any(problem.startswith("recipe.yaml:12: step 'keep': expression") for problem in found)
    assert any("no template 'missing.jinja'" in problem for problem in found)


def test_engine_of_a_step_must_be_there(write_recipe: Callable[..., Path]) -> None:
    path = write_recipe(GOOD.replace("engine: llm, prompt", "engine: lm, prompt"))
    assert problems(path) == ["recipe.yaml:6: step 'generate': no engine 'lm'; did you mean 'llm'?"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a mapping"),
        ("steps: [", "not valid YAML"),
        ("name: a\nname: b\n", "recipe.yaml:2: duplicate key 'name'"),
        ("name: !!python/object/apply:os.getcwd []\n", "recipe.yaml:1: not a plain value"),
        ("name: a\nsteps: {}\n", "steps must be a list"),
    ],
    ids=["empty", "broken", "duplicate", "object", "no steps"],
)
def test_broken_files_say_where(write_recipe: Callable[..., Path], text: str, problem: str) -> None:
    assert any(problem in found for found in problems(write_recipe(text)))


def test_alias_bombs_are_refused(write_recipe: Callable[..., Path]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert any(
        "too many values: at most 100,000 values (limit recipe_values" in found
        for found in problems(write_recipe("\n".join(lines)))
    )


def test_profile_replaces_engines_and_changes_and_removes_steps(write_recipe: Callable[..., Path]) -> None:
    recipe = load_recipe(write_recipe(GOOD), profile="quick")
    assert [step.name for step in recipe.steps] == ["generate"]
    assert recipe.steps[0].config.attempts == 1
    assert recipe.engines["llm"].answer == "quick"  # type: ignore[attr-defined]
    assert problems(write_recipe(GOOD), profile="quik") == ["recipe.yaml:10: no profile 'quik'; did you mean 'quick'?"]


def test_settings_name_steps_and_are_named_in_errors(write_recipe: Callable[..., Path]) -> None:
    path = write_recipe(GOOD)
    recipe = load_recipe(path, settings=["steps.generate.sampling.temperature=0.5", "steps.keep='text'", "seed=7"])
    assert recipe.steps[0].config.sampling.temperature == 0.5
    assert recipe.steps[1].config.expression == "text"
    assert recipe.run.seed == 7
    assert problems(path, settings=["steps.generate.sampling.temprature=0.5"]) == [
        "--set steps.generate.sampling.temprature: step 'generate': unknown key 'temprature'; did you mean 'temperature'?"
    ]
    assert problems(path, settings=["steps.generat.attempts=1"]) == [
        "--set steps.generat.attempts: no step 'generat'; did you mean 'generate'?"
    ]
    assert problems(path, settings=["seed"]) == ["--set seed: must be path.to.key=value (null for no value)"]


def test_overrides_from_python(write_recipe: Callable[..., Path]) -> None:
    path = write_recipe(GOOD)
    recipe = load_recipe(path, overrides={"engines.llm.answer": "maybe", "steps": {"generate": {"attempts": 2}}})
    assert recipe.engines["llm"].answer == "maybe"  # type: ignore[attr-defined]
    assert recipe.steps[0].config.attempts == 2


def test_plugin_files_are_found_beside_the_recipe(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(
        "from mminf.step import Step, StepConfig, step\n"
        "class C(StepConfig):\n    reads: str\n    writes: str\n"
        "@step('shout')\nclass Shout(Step[C]):\n    async def run(self, record, ctx):\n"
        "        return {self.config.writes: record[self.config.reads].upper()}\n"
    )
    text = "plugins: shout.py\nsteps:\n  - shout: {reads: a, writes: b}\n"
    recipe = load_recipe(write_recipe(text))
    assert (recipe.steps[0].reads, recipe.steps[0].writes) == ({"a"}, {"b"})
    with pytest.raises(PluginError, match="gone.py does not exist"):
        load_recipe(write_recipe(text.replace("shout.py", "gone.py")))
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(PluginError, match=r"broken\.py:1: plugin can't be imported: ModuleNotFoundError"):
        load_recipe(write_recipe(text.replace("shout.py", "broken.py")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plugins: 5\n" + GOOD, "recipe.yaml:1: plugins must be a list of files or modules"),
        (GOOD.split("profiles:")[0] + "profiles: {quick: 5}\n", "profiles must be a mapping of names to mappings"),
        (GOOD.split("profiles:")[0] + "profiles: [quick]\n", "profiles must be a mapping of names to mappings"),
        ("a: &a [*a]\n", "recipe.yaml:1: contains itself by an alias"),
    ],
    ids=["plugins", "profile", "profiles", "alias"],
)
def test_odd_values_are_problems_with_a_place(write_recipe: Callable[..., Path], text: str, problem: str) -> None:
    assert any(problem in found for found in problems(write_recipe(text), profile="quick"))


def test_settings_are_blamed_for_what_they_brought(write_recipe: Callable[..., Path]) -> None:
    found = problems(write_recipe(GOOD), settings=["engine.llm.answer=x", "engines.lm.answer=x"])
    assert any(problem.startswith("--set engine.llm.answer: unknown key 'engine'") for problem in found)
    assert any(problem.startswith("--set engines.lm.answer: engine 'lm' needs a backend") for problem in found)


def test_a_step_must_be_async() -> None:
    from mminf.step import Step, StepConfig, step

    with pytest.raises(PluginError, match="`run` must be written as `async def run"):

        @step("plain")
        class Plain(Step[StepConfig]):
            def run(self, record, ctx):  # type: ignore[no-untyped-def, override]
                return {}


def test_the_model_of_an_engine_is_known_by_its_files(tmp_path: Path) -> None:
    from mminf.backend.base import model_identity

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"w" * 3_000_000)
    same = model_identity(str(tmp_path / "one"))
    assert model_identity(str(tmp_path / "two")) == same, "a copy is the same model"
    (tmp_path / "two" / "model.safetensors").write_bytes(b"w" * 2_999_999 + b"x")
    assert model_identity(str(tmp_path / "two")) != same
    assert model_identity("Qwen/Qwen2-VL-7B-Instruct") == "Qwen/Qwen2-VL-7B-Instruct"


def test_a_profile_may_have_a_source_of_another_type(tmp_path: Path) -> None:
    """Keys of the other type are not valid for it."""
    path = tmp_path / "r.yaml"
    path.write_text(
        "source: {images: {path: pics/, recursive: true}}\n"
        "steps: [set: {a: '1'}]\n"
        "sinks: []\n"
        "profiles: {rows: {source: {jsonl: rows.jsonl}}}\n"
    )
    source = mminf.load(path, profile="rows").source
    assert source is not None
    assert (source.type, source.config.path.name) == ("jsonl", "rows.jsonl")


@pytest.mark.parametrize("profile", [None, "drawn", "both"])
def test_a_new_input_gets_the_settings_of_its_type_whatever_profile_is_chosen(
    profile: str | None, tmp_path: Path
) -> None:
    """`mminf run unicorn --profile demo --input seeds.txt` reads the field that the recipe names."""
    path, seeds = tmp_path / "r.yaml", tmp_path / "seeds.txt"
    seeds.write_text("a cup\n")
    path.write_text(
        "source: {text: {path: captions.txt, field: seed, id: code}}\nsteps: []\nsinks: []\n"
        "profiles: {drawn: {source: {drawn: {count: 3}}}, both: {source: {drawn: {count: 3, id: name}}}}\n"
    )
    source = mminf.load(path, profile=profile, input=seeds).source
    assert source is not None
    assert (source.type, source.config.path, source.config.field) == ("text", seeds, "seed")
    assert source.config.id == ("name" if profile == "both" else "code"), "the profile's settings come last"
    (tmp_path / "rows.jsonl").write_text('{"seed": "a cup"}\n')
    source = mminf.load(path, profile=profile, input=tmp_path / "rows.jsonl").source
    assert source is not None
    assert source.config.id == ("name" if profile == "both" else "code"), "a setting of all types"


def test_mistakes_in_the_first_source_are_told_at_its_line(tmp_path: Path) -> None:
    path, seeds = tmp_path / "r.yaml", tmp_path / "seeds.txt"
    seeds.write_text("a cup\n")
    path.write_text(
        "source: {text: {path: c.txt, feild: seed}}\nsteps: []\nsinks: []\nprofiles: {d: {source: {drawn: {count: 3}}}}\n"
    )
    with pytest.raises(RecipeError) as caught:
        mminf.load(path, profile="d", input=seeds)
    assert str(caught.value).startswith(f"{path}:1: ")


TOGETHER = """
name: together
engines: {e: {backend: scripted, script: answers.py}}
source: {images: {path: pictures}}
steps:
  - generate: {name: ask, engine: nobody, prompt: "{{ caption }}", writes: q, scael: 1}
  - score: {name: rate, engine: someone, prompt: "x", scale: 3}
  - generate: {name: say, engine: noone, prompt: "{{ q }} {{ unknown_after_a_broken_step }}", writes: a}
sinks: [{jsonl: o.jsonl}]
"""


def test_engines_and_fields_are_reported_with_all_other_problems(write_recipe: Callable[..., Path]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(TOGETHER))
    told = str(caught.value)
    for text in ("unknown key 'scael'", "no engine 'nobody'", "'caption'", "no engine 'someone'", "scale: must be", "no engine 'noone'"):  # fmt: skip
        assert text in told, told
    assert "'unknown_after_a_broken_step', but nothing provides it" in told, told


WRONG = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3)
WRONG |= st.lists(WRONG, max_size=3) | st.dictionaries(st.text(max_size=3), WRONG, max_size=2)


@pytest.mark.parametrize("kind", ["hook", "generate", "score", "compare", "check", "choose", "draw", "keep", "sample"])
@given(data=st.data())
@fuzz(40)
def test_problems_are_in_the_words_of_recipes(kind: str, data: st.DataObject) -> None:
    cls = STEPS.get(kind).Config
    field = data.draw(st.sampled_from(sorted(cls.model_fields)))
    try:
        cls.model_validate({field: data.draw(WRONG)})
    except ValidationError as error:
        for problem in find_problems(error, cls, Document({}, {}), (), label=kind):
            assert not re.search(
                r"Input|valid (tuple|string|integer|dict)|Value error|\bafter validation", problem.message
            )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a b", "recipe.yaml:1: name: must contain only the characters A-Z a-z 0-9 _ . -, not 'a b'"),
        (
            "split: {shares: {T: 1}}",
            "recipe.yaml:1: split.shares.T: must contain at most 20 of the characters a-z 0-9 _, not 'T'",
        ),
    ],
)
def test_the_characters_of_names_are_told_in_words(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{text}\nsource: {{blank: 1}}\nsteps: [{{set: {{a: '1'}}}}]\n")
    with pytest.raises(RecipeError) as raised:
        load_recipe(path)
    assert str(raised.value).endswith(told)


def test_a_step_with_a_problem_is_not_missing_for_a_sink(write_recipe: Callable[..., Path]) -> None:
    text = "source: {{blank: 1}}\nsteps: [{{keep: {0}}}]\nsinks: [{{jsonl: {{path: o.jsonl, dropped_by: {1}}}}}]\n"
    (found,) = problems(write_recipe(text.format("'1 +'", "keep")))
    assert "dropped_by" not in found
    both = problems(write_recipe(text.format("'1 +'", "keap")))
    assert [("dropped_by" in line) for line in both] == [False, True]
    assert "did you mean 'keep'" in both[1]


def test_a_bare_value_keeps_the_name_of_a_step(write_recipe: Callable[[str], Path]) -> None:
    path = write_recipe(
        "name: r\nsource: {jsonl: rows.jsonl}\nsteps:\n"
        "  - keep: {name: good, when: text != 'x', expression: text == 'a'}\n"
        "  - sample: {name: few, fraction: 0.9}\n  - keep: text\n"
        "sinks: [{jsonl: o.jsonl}]\nprofiles: {strict: {steps: {good: text == 'b'}}}\n"
    )
    for options in ({"settings": ["steps.good=text == 'b'"]}, {"profile": "strict"}):
        first = load_recipe(path, **options).steps[0]  # type: ignore[arg-type]
        assert (first.name, first.config.when, first.config.expression) == ("good", "text != 'x'", "text == 'b'")
    few = load_recipe(path, settings=["steps.few=0.5", "steps.keep=text == 'c'"]).steps
    assert (few[1].name, few[1].config.fraction) == ("few", 0.5)
    assert few[2].name == "keep"


@pytest.mark.parametrize("path", ["sinks.jsonl.path", "sinks.0.path", "sinks.jsonl.jsonl.path", "sinks.0.jsonl.path"])
@pytest.mark.parametrize("sink", ["jsonl: out.jsonl", "jsonl: {path: out.jsonl, columns: [id]}"])
def test_a_setting_of_a_sink_is_named_by_its_type(write_recipe: Callable[[str], Path], path: str, sink: str) -> None:
    recipe = write_recipe(f"name: r\nsource: {{jsonl: rows.jsonl}}\nsteps: []\nsinks:\n  - {sink}\n  - llava: l.json\n")
    first, second = load_recipe(recipe, settings=[f"{path}=other.jsonl"]).sinks
    assert (str(first.config.path), str(second.config.path)) == ("other.jsonl", "l.json")
    with pytest.raises(RecipeError, match="unknown key 'colums'; did you mean 'columns'"):
        load_recipe(recipe, settings=[f"{path.removesuffix('path')}colums=[id]"])


def test_a_setting_of_the_source_needs_no_type(write_recipe: Callable[[str], Path], tmp_path: Path) -> None:
    """`--input` may have changed it."""
    (tmp_path / "rows.csv").write_text("id,q\na,x\n")
    recipe = write_recipe("name: r\nsource: {jsonl: rows.jsonl}\nsteps: []\nsinks: [{jsonl: o.jsonl}]\n")
    columns = "source.columns={question: q}"
    for path in (columns, columns.replace("source", "source.csv")):
        loaded = mminf.load(recipe, input=tmp_path / "rows.csv", settings=[path])
        assert loaded.source is not None and loaded.source.config.columns == {"question": ["q"]}
    with pytest.raises(RecipeError, match="the input is read as csv: write source.csv.columns="):
        mminf.load(recipe, input=tmp_path / "rows.csv", settings=[columns.replace("source", "source.jsonl")])
    with pytest.raises(RecipeError, match="unknown key 'colums'"):
        mminf.load(recipe, settings=["source.colums=[q]"])

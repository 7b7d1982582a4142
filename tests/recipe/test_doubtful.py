"""Recipes with several mistakes: the fields of steps are checked although other steps have problems."""

from __future__ import annotations

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
        ("generate: {engine: llm, prompt: hello, into: made, writs: x}", "unknown key 'writs'"),
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


WRONG = st.sampled_from([None, True, -7, 0.5, "", "a b", "{{", [[]], {"a": {}}, ["a", 1]])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
@given(data=st.data())
@fuzz(6)
def test_a_broken_step_makes_no_other_step_lack_a_field(recipe: Path, data: st.DataObject) -> None:
    """All fields of a bundled recipe are provided, so that none is missing, whatever the mistake in it is."""
    content = load_document(recipe).data
    broken = data.draw(st.sampled_from([step for step in content["steps"] if "repeat" not in step]))
    kind, body = next(iter(broken.items()))
    keys = sorted(body.keys() - {"name"}) if isinstance(body, dict) else []
    change = data.draw(st.sampled_from(["type", "key", "value"] if keys else ["type"]))
    if change == "type":
        broken[f"{kind}e"] = broken.pop(kind)
    elif change == "key":
        del body[data.draw(st.sampled_from(keys))]
    else:
        body[data.draw(st.sampled_from([*keys, "wrties", "when", "attempts", "writes"]))] = data.draw(WRONG)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / recipe.name
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        try:
            mminf.load(path, peek=False)
        except RecipeError as error:
            lacking = [problem.message for problem in error.problems if "provides it" in problem.message]
            assert not lacking or len(lacking) == len(error.problems), (broken, error.problems)

"""YAML: what is plain data, how keys merge, what bad text is told as."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf.errors import MminfError, RecipeError
from mminf.recipe.lines import parse_document

from ..fuzz import TIMES, fuzz

ROOT = Path(__file__).parents[2]


def read(text: str) -> Any:
    return parse_document(text, "r.yaml").data


def problem(text: str) -> str:
    with pytest.raises(RecipeError) as told:
        read(text)
    return str(told.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2001-12-14", "2001-12-14"), ("2001-13-45", "2001-13-45"), ("1e3", "1e3"), ("1.0e+3", 1000.0), ("0x10", 16),
        ("yes", True), ("~", None), ("''", ""), ("[1, a]", [1, "a"]), ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("{1: a, true: b}", {"1": "a", "true": "b"}), ("{'<<': 5}", {"<<": 5}),
    ],
)  # fmt: skip
def test_plain_values(text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!bool maybe", "'maybe' is not a valid bool"),
        ("!!int abc", "'abc' is not a valid int"),
        ("9" * 5000, "is not a valid int"),
        ("9" * 30, "out of range"),
        (".inf", "out of range"),
        (".nan", "out of range"),
        ("!!binary aGk=", "of a type that JSON does not have"),
        ("!!set {a, b}", "not a plain value"),
        ("!!python/name:os.system ''", "not a plain value"),
        ("{<<: 5}", "`<<` needs a mapping"),
        ("{<<: [5]}", "`<<` needs a mapping"),
        ("{a: 1, a: 2}", "duplicate key 'a'"),
        ("{[a]: 1}", "a key must be a text"),
        ("&a [*a]", "contains itself"),
        ("&a {b: *a}", "contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("[" * 80 + "]" * 80, "nested too deeply"),
        ("a: \0", "not valid YAML"),
        ("a: *x", "not valid YAML"),
        ("steps:\n  - a: 1\n - b: 2\n", "<block sequence start>'; check the indentation of this line"),
        ("a: 1\n  b: 2\n", "mapping values are not allowed here; check the indentation of this line"),
        ("- a\nb", "not valid YAML"),
        ("a\n---\nb", "not valid YAML"),
    ],
)
def test_what_is_no_plain_value(text: str, message: str) -> None:
    assert message in problem(text)
    with pytest.raises(RecipeError, match="--set seed"):
        mminf.load(ROOT / "recipes" / "oasis.yaml", settings=[f"seed={text}"])


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_RECIPE_BYTES", "100")
    (tmp_path / "r.yaml").write_text("name: " + "x" * 100)
    with pytest.raises(RecipeError, match=r"recipe is too large: at most 100 bytes \(limit recipe_bytes"):
        mminf.load(tmp_path / "r.yaml")


MAPPINGS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), max_size=3)


@fuzz(200)
@given(MAPPINGS, st.lists(MAPPINGS, min_size=1, max_size=3), MAPPINGS, st.booleans())
def test_keys_merge_as_in_pyyaml(
    before: dict[str, int], merged: list[dict[str, int]], own: dict[str, int], one: bool
) -> None:
    flow = lambda value: yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("...")  # noqa: E731
    names = ", ".join(f"*m{number}" for number in range(len(merged)))
    lines = [f"m{number}: &m{number} {flow(item)}" for number, item in enumerate(merged)]
    own = {**before, **own}
    body = ", ".join(f"{key}: {value}" for key, value in own.items())
    merge = "<<: *m0" if one else f"<<: [{names}]"
    text = "\n".join([*lines, f"all: {{{body}{', ' if body else ''}{merge}}}"])
    assert read(text)["all"] == yaml.safe_load(text)["all"]


def test_bombs_are_small() -> None:
    began = time.monotonic()
    merge = ["a0: &a0 {k0: v, k1: v, k2: v}"]
    merge += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    assert len(read("\n".join(merge))) == 12
    alias = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "too many values" in problem("\n".join(alias))
    assert time.monotonic() - began < 30


# Fuzzing: whatever is in a recipe or a setting, what is told is an error of ours.


def mutate(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 3)):
        lines = text.split("\n")
        at = draw.randrange(len(lines))
        kind = draw.randrange(7)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[draw.randrange(len(lines))])
        elif kind == 2:
            lines[at] = " " * draw.randint(0, 6) + lines[at].lstrip()
        elif kind == 3:
            word = draw.choice(lines[at].split() or [""])
            lines[at] = lines[at].replace(word, draw.choice(ODD), 1) if word else draw.choice(ODD)
        elif kind == 4:
            cut = draw.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + draw.choice(ODD) + lines[at][cut:]
        elif kind == 5:
            lines[at] = lines[at].partition(":")[0] + ": " + draw.choice(ODD)
        else:
            lines = lines[:at]
        text = "\n".join(lines)
    return text


ODD = [
    "5", "-1", "1e999", "9" * 25, "null", "[]", "{}", "[[]]", "{a: b}", "''", "'{{ x'", "\"{% if %}\"", "true", "*a", "&a x",
    "!!int x", "!!binary x", "<<", "<<: 5", "2001-13-45", "\t", "\x07", "é", "…", "..", "/", "a.b", ":", "- -", "? x", "|", ">",
    "%", "@", "`", "[" * 100, "{{ 9 ** 9 ** 9 }}", "9 ** 9999", "steps", "engines", "sinks", "for_each", "repeat", "when", "🦙",
]  # fmt: skip
SETTINGS = ["sinks.0.path", "sinks.0.jsonl.path", "sinks.llava.path", "sinks.9", "engines", "engines.vlm", "engines.vlm.a.b",
            "steps", "steps.hook", "steps.hook.sampling", "steps.hook.sampling.temperature", "seed", "source", "source.images",
            "source.x.y.z", "name", "profiles", "a", "", ".", "..", "steps.", "budget", "budget.calls", "limit"]  # fmt: skip


def load_odd(path: Path, **options: Any) -> None:
    try:
        mminf.load(path, **options)
    except MminfError as error:
        assert len(str(error)) < 20_000


@pytest.mark.parametrize("seed", range(4 * TIMES))
def test_odd_recipes_and_settings_are_told_as_errors(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    recipes = sorted((ROOT / "recipes").glob("*.yaml"))
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    for number in range(25):
        path = tmp_path / f"{number}.yaml"
        path.write_text(mutate(draw.choice(recipes).read_text(), draw))
        load_odd(path, profile=draw.choice([None, "demo", "x"]))
    for _ in range(25):
        settings = [f"{draw.choice(SETTINGS)}={draw.choice(ODD)}" for _ in range(draw.randint(1, 2))]
        load_odd(draw.choice(recipes), settings=settings, profile=draw.choice([None, "demo"]))

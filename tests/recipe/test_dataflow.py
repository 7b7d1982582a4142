from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mminf.errors import RecipeError
from mminf.recipe.dataflow import dependencies, order_steps, overwritten, split_stages, undefined_reads
from mminf.recipe.loader import load_recipe
from mminf.recipe.schema import make_schema


def steps(write_recipe: Callable[..., Path], text: str) -> tuple[object, ...]:
    return load_recipe(write_recipe(f"engines: {{e: {{backend: scripted, answer: x}}}}\nsteps:\n{text}")).steps


def test_steps_wait_for_fields_and_gates_only(write_recipe: Callable[..., Path]) -> None:
    found = dependencies(
        steps(
            write_recipe,
            """
  - generate: {name: a, engine: e, prompt: "{{ x }}", writes: a}
  - generate: {name: b, engine: e, prompt: "{{ x }}", writes: b}
  - generate: {name: c, engine: e, prompt: "{{ a }}", writes: c}
  - keep: c == 'x'
  - generate: {name: d, engine: e, prompt: "{{ x }}", writes: d}
""",
        )  # type: ignore[arg-type]
    )
    assert found == [frozenset(), frozenset(), {0}, {2}, {3}]


def test_overwriting_waits_for_earlier_readers_and_writers(write_recipe: Callable[..., Path]) -> None:
    found = dependencies(
        steps(
            write_recipe,
            """
  - generate: {name: reader, engine: e, prompt: "{{ x }}", writes: y}
  - set: {x: "1"}
""",
        )  # type: ignore[arg-type]
    )
    assert found == [frozenset(), {0}]


def test_columns_that_a_step_replaces_without_reading_them_are_overwritten(write_recipe: Callable[..., Path]) -> None:
    made = steps(
        write_recipe,
        """
  - generate: {name: first, engine: e, prompt: "{{ x }}", writes: lost}
  - generate: {name: again, engine: e, prompt: "{{ x }}", writes: lost}
  - generate: {name: change, engine: e, prompt: "{{ mended }}", writes: mended}
  - generate: {name: late, engine: e, prompt: "{{ x }}", writes: x}
  - generate: {name: new, engine: e, prompt: "{{ x }}", writes: other}
""",
    )
    assert overwritten(made, frozenset({"x", "lost", "mended"})) == {"lost": "first"}  # type: ignore[arg-type]


def test_dataset_steps_are_stages_of_their_own(write_recipe: Callable[..., Path]) -> None:
    made = steps(write_recipe, "  - set: {a: '1'}\n  - deduplicate: {reads: a}\n  - set: {name: s2, b: '2'}\n")
    stages = split_stages(made)  # type: ignore[arg-type]
    assert [(stage.start, stage.stop, stage.dataset) for stage in stages] == [
        (0, 1, False),
        (1, 2, True),
        (2, 3, False),
    ]


def test_reads_without_a_writer_are_problems_that_say_who_comes_too_late(write_recipe: Callable[..., Path]) -> None:
    made = steps(write_recipe, "  - keep: a > 1 and z\n  - set: {a: '1'}\n")
    found = [str(problem) for problem in undefined_reads(made, frozenset({"zz"}), {"keep": "r.yaml:3"})]  # type: ignore[arg-type]
    assert (
        found[0]
        == "r.yaml:3: step 'keep' reads field 'a', but the input does not have it, and step 'set', which writes it, comes later"
    )
    assert found[1] == "r.yaml:3: step 'keep' reads field 'z', but nothing provides it; did you mean 'zz'?"
    assert undefined_reads(made, None) == []  # type: ignore[arg-type]


def test_a_missing_field_that_several_steps_read_is_one_problem(write_recipe: Callable[..., Path]) -> None:
    made = steps(
        write_recipe,
        "  - keep: {name: a, expression: z > 1}\n  - keep: {name: b, expression: z and y}\n  - set: {v: '1'}\n  - set: {name: s, x: 'y'}\n",
    )
    found = undefined_reads(made, frozenset({"zz"}), {"a": "r.yaml:3", "b": "r.yaml:4"})  # type: ignore[arg-type]
    assert [str(problem) for problem in found] == [
        "r.yaml:3: step 'a' reads field 'z', but nothing provides it; did you mean 'zz'? (also step 'b')",
        "r.yaml:4: step 'b' reads field 'y', but nothing provides it; known: zz (also step 's')",
    ]


def test_oasis_loads_with_the_order_that_the_paper_has() -> None:
    import mminf

    recipe = mminf.load("oasis")
    names = [step.name for step in recipe.steps]
    waits = [{names[i] for i in waits} for waits in dependencies(recipe.steps)]
    filters = {"degenerate_instruction", "refused_instruction"}
    assert waits[names.index("nonsense")] == {"classify", *filters}
    assert waits[names.index("respond")] == {"classify", *filters, "keep"}


def test_schema_knows_every_step_and_its_keys() -> None:
    import mminf

    mminf.load("oasis")
    schema = make_schema()
    assert "oneOf" not in schema
    assert {"hook", "score", "keep", "respond"} <= set(schema["properties"]["steps"]["items"]["properties"])
    assert "temperature" in schema["$defs"]["Sampling"]["properties"]
    assert schema["$defs"]["engine.vllm"]["properties"]["backend"] == {"const": "vllm"}
    assert "name" in schema["properties"]


@pytest.mark.parametrize("where", ["nope ==", "a b"])
def test_sink_expressions_are_checked(write_recipe: Callable[..., Path], where: str) -> None:
    text = f"steps:\n  - set: {{a: '1'}}\nsinks:\n  - jsonl: {{path: x.jsonl, where: '{where}'}}\n"
    with pytest.raises(RecipeError, match="sink 'jsonl': where: not a valid expression"):
        load_recipe(write_recipe(text))


JUDGES = """
  - generate: {name: text, engine: e, prompt: "{{ x }}", writes: t}
  - score:    {name: picture, engine: e, prompt: "{{ images }} 1 to 5: {{ t }}"}
  - score:    {name: words, engine: e, prompt: "1 to 5: {{ t }}"}
  - score:    {name: scene, engine: e, prompt: "{{ images }} 1 to 5: {{ x }}"}
"""


@pytest.mark.parametrize(
    ("gate", "wanted"),
    [
        ("  - keep: picture > 1 and words > 1 and scene > 1\n", ["text", "words", "picture", "scene", "keep"]),
        ("  - keep: picture > 1 and scene > 1\n", ["text", "picture", "words", "scene", "keep"]),
        ("", ["text", "picture", "words", "scene"]),
    ],
)
def test_of_neighbouring_judges_those_without_images_come_first(
    write_recipe: Callable[..., Path], gate: str, wanted: list[str]
) -> None:
    made = steps(write_recipe, JUDGES + gate)
    stage = split_stages(made)[0]  # type: ignore[arg-type]
    order = order_steps(made, dependencies(made), stage, {"e": None})  # type: ignore[arg-type]
    assert [made[index].name for index in order] == wanted  # type: ignore[attr-defined]

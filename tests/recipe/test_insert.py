"""`insert` of profiles: where inserted steps go, and what is wrong with an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import RecipeError
from mminf.recipe.insert import find_position
from mminf.recipe.loader import load_recipe
from mminf.recipe.model import Recipe

from ..fuzz import fuzz

BASE = """\
name: small
source: {jsonl: rows.jsonl}
steps:
  - set: {name: a, fields: {a: "1"}}
  - repeat:
      name: rounds
      times: 2
      steps:
        - set: {name: b, fields: {b: "1"}}
        - set: {name: c, fields: {c: "1"}}
  - keep: a == 1
profiles:
"""
Write = Callable[..., Path]


def profile(name: str, *entries: str, more: str = "") -> str:
    """Returns the YAML of a profile: entries are `before a: x y`, and x, y the names of steps to insert."""
    lines = [f"  {name}:"]
    if entries:
        lines.append("    insert:")
    for entry in entries:
        place, _, names = entry.partition(": ")
        key, anchor = place.split()
        steps = ", ".join(f"{{set: {{name: {step}, fields: {{{step}: '1'}}}}}}" for step in names.split())
        lines.append(f"      - {{{key}: {anchor}, steps: [{steps}]}}")
    return "\n".join([*lines, more]).rstrip() + "\n"


def names_of(recipe: Recipe) -> list[str]:
    return [step.name for step in recipe.steps]


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, **options)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["before a: x y"], ["x", "y", "a", "b", "c", "b.2", "c.2", "keep"]),
        (["after a: x y"], ["a", "x", "y", "b", "c", "b.2", "c.2", "keep"]),
        (["after a: x", "after a: y"], ["a", "x", "y", "b", "c", "b.2", "c.2", "keep"]),
        (["before a: x", "before a: y"], ["x", "y", "a", "b", "c", "b.2", "c.2", "keep"]),
        (["after rounds: x", "before keep: y"], ["a", "b", "c", "b.2", "c.2", "x", "y", "keep"]),
        (["before keep: y", "after rounds: x"], ["a", "b", "c", "b.2", "c.2", "x", "y", "keep"]),
        (["after b: x"], ["a", "b", "x", "c", "b.2", "x.2", "c.2", "keep"]),
        (["after keep: x"], ["a", "b", "c", "b.2", "c.2", "keep", "x"]),
        (["after a: x", "after x: y", "before x: z", "after a: w"], ["a", "z", "x", "y", "w"]),
    ],
    ids=["before", "after", "after twice", "before twice", "two places", "two places, reversed", "in a repeat", "end", "next to inserted"],
)  # fmt: skip
def test_steps_go_before_or_after_the_named_step(write_recipe: Write, entries: list[str], expected: list[str]) -> None:
    recipe = load_recipe(write_recipe(BASE + profile("p", *entries)), profile="p")
    assert names_of(recipe)[: len(expected)] == expected


def test_without_the_profile_nothing_is_inserted(write_recipe: Write) -> None:
    path = write_recipe(BASE + profile("p", "before a: x"))
    assert names_of(load_recipe(path)) == ["a", "b", "c", "b.2", "c.2", "keep"]


def test_several_profiles_insert_in_their_order(write_recipe: Write) -> None:
    path = write_recipe(BASE + profile("p", "after a: x", "after b: z") + profile("q", "after a: y"))
    assert names_of(load_recipe(path, profile="p,q"))[:3] == ["a", "x", "y"]
    assert names_of(load_recipe(path, profile="q,p"))[:3] == ["a", "y", "x"]
    assert names_of(load_recipe(path, profile="q, p")).count("z") == 1


def test_a_profile_can_replace_a_step(write_recipe: Write) -> None:
    path = write_recipe(BASE + profile("p", "after a: x", more="    steps: {a: false, keep: x == 1}"))
    assert names_of(load_recipe(path, profile="p")) == ["x", "b", "c", "b.2", "c.2", "keep"]


def test_a_repeat_can_be_inserted(write_recipe: Write) -> None:
    steps = "[{repeat: {name: more, times: 2, steps: [{set: {name: x, fields: {x: '1'}}}]}}]"
    text = BASE + f"  p:\n    insert: [{{after: a, steps: {steps}}}]\n"
    assert names_of(load_recipe(write_recipe(text), profile="p"))[:4] == ["a", "x", "x.2", "b"]
    text = BASE + f"  p:\n    insert: [{{after: b, steps: {steps}}}]\n"
    assert problems(write_recipe(text), profile="p") == [
        "recipe.yaml:8: step 'rounds': steps: a repeat can't contain another repeat"
    ]


def test_inserted_steps_are_changed_and_removed_like_others(write_recipe: Write) -> None:
    path = write_recipe(BASE + profile("p", "after a: x y") + "  q:\n    steps: {x: {attempts: 5}}\n")
    recipe = load_recipe(path, profile="p,q", settings=["steps.x.when=a == 1", "steps.y=false"])
    assert names_of(recipe)[:3] == ["a", "x", "b"]
    assert (recipe.steps[1].config.when, recipe.steps[1].config.attempts) == ("a == 1", 5)
    # The steps of the profile itself are not changed by an earlier load.
    assert load_recipe(path, profile="p").steps[1].config.when is None
    assert problems(path, settings=["steps.x.attempts=1"]) == ["--set steps.x.attempts: no step 'x'; profile 'p' inserts it"]  # fmt: skip


def test_a_step_can_be_removed_and_inserted_elsewhere(write_recipe: Write) -> None:
    text = BASE + profile("p", "after a: x", more="    steps: {a: false}") + profile("q", "after x: a", "after a: y")
    assert names_of(load_recipe(write_recipe(text), profile="p,q"))[:3] == ["x", "a", "y"]


def test_places_are_those_of_the_inserted_lines(write_recipe: Write) -> None:
    path = write_recipe(BASE + profile("p", "before a: x", "after keep: y"))
    recipe = load_recipe(path, profile="p")
    lines = {name: where.removeprefix(f"{path.parent}/recipe.yaml:") for name, where in recipe.places.items()}
    assert lines == {"x": "15 (profile p)", "a": "4", "b": "9", "c": "10", "b.2": "9", "c.2": "10", "keep": "11",
                     "y": "16 (profile p)"}  # fmt: skip
    broken = write_recipe(BASE + profile("p", "before a: x").replace("name: x", "nam: x"))
    assert (
        problems(broken, profile="p")[0]
        == "recipe.yaml:15 (profile p): step 'set': unknown key 'nam'; did you mean 'name'?"
    )


X = "{set: {x: '1'}}"


@pytest.mark.parametrize(
    ("insert", "problem"),
    [
        (f"[{{before: aa, steps: [{X}]}}]", "recipe.yaml:14: `before`: no step 'aa' in the recipe; did you mean 'a'?"),
        (f"[{{after: round, steps: [{X}]}}]", "recipe.yaml:14: `after`: no step 'round' in the recipe; did you mean 'rounds'?"),
        (f"[{{after: b.2, steps: [{X}]}}]", "recipe.yaml:14: `after`: no step 'b.2' in the recipe; known: a, b, c, keep, rounds"),
        (f"[{{before: a, after: b, steps: [{X}]}}]", "recipe.yaml:14: insert: `before` and `after` exclude each other; give one of them"),
        (f"[{{steps: [{X}]}}]", "recipe.yaml:14: insert: give `before` or `after`, with the name of a step"),
        ("[{before: a}]", "recipe.yaml:14: insert: key 'steps' is missing"),
        ("[{before: a, steps: []}]", "recipe.yaml:14: insert: steps: must have 1 or more items, not []"),
        (f"[{{befor: a, steps: [{X}]}}]", "recipe.yaml:14: insert: unknown key 'befor'; did you mean 'before'?"),
        ("[{before: a, steps: [{keep: 'true'}]}]", "recipe.yaml:14: duplicate step name 'keep'; give this step another `name`"),
        ("[{before: a, steps: [{set: {name: b, fields: {x: '1'}}}]}]", "recipe.yaml:14: duplicate step name 'b'; give this step another `name`"),
        (f"[{{before: a, steps: [{X}, {X}]}}]", "recipe.yaml:14: duplicate step name 'set'; give this step another `name`"),
        (f"{{before: a, steps: [{X}]}}", "recipe.yaml:14: insert must be a list of {before or after: STEP, steps: [...]}"),
        ("[5]", "recipe.yaml:14: insert must be a list of {before or after: STEP, steps: [...]}"),
        (f"[{{before: true, steps: [{X}]}}]", "recipe.yaml:14: insert: before: must be a text, not True; quote a text such as 'no' or 'on', which YAML reads as true or false"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_told_with_its_line(write_recipe: Write, insert: str, problem: str) -> None:
    path = write_recipe(BASE + f"  p:\n    insert: {insert}\n")
    assert problem in problems(path, profile="p")
    load_recipe(path)


def test_all_wrong_entries_are_told_at_once(write_recipe: Write) -> None:
    path = write_recipe(BASE + profile("p", "before aa: x", "after a: keep", "after a: y", "after bb: z"))
    assert [found.partition(":")[2].partition(":")[0] for found in problems(path, profile="p")] == ["15", "16", "18"]


def test_a_list_of_steps_takes_no_insertions(write_recipe: Write) -> None:
    text = BASE + profile("p", "before a: x", more="    steps: [{keep: 'true'}]")
    assert problems(write_recipe(text), profile="p") == [
        "recipe.yaml:14: profile 'p' replaces the list of steps; add the inserted steps to that list"
    ]


@dataclass
class Node:
    """A step with what was inserted next to it: the model that `find_position` is compared with."""

    name: str
    before: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)

    def flatten(self) -> list[str]:
        parts = [*self.before, None, *self.after]
        return [name for part in parts for name in ([self.name] if part is None else part.flatten())]


@fuzz(200)
@given(data=st.data(), count=st.integers(1, 8))
def test_insertion_keeps_the_order_and_puts_each_step_at_its_place(data: st.DataObject, count: int) -> None:
    recipe = [f"step{number}" for number in range(count)]
    nodes = {name: Node(name) for name in recipe}
    roots = list(nodes.values())
    names: list[str] = list(recipe)
    anchors: dict[str, str] = {}
    for number in range(data.draw(st.integers(0, 8), "insertions")):
        anchor = data.draw(st.sampled_from(sorted(nodes)), "anchor")
        after = data.draw(st.booleans(), "after")
        new = [f"new{number}.{index}" for index in range(data.draw(st.integers(1, 3), "steps"))]
        index = find_position(names, anchor, after=after, anchors=anchors)
        names[index:index] = new
        anchors |= dict.fromkeys(new, anchor)
        inserted = {name: Node(name) for name in new}
        (nodes[anchor].after if after else nodes[anchor].before).extend(inserted.values())
        nodes |= inserted
    assert names == [name for root in roots for name in root.flatten()]
    assert [name for name in names if name in recipe] == recipe
    assert len(names) == len(set(names)) == len(nodes)


@fuzz(50)
@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["p", "q"]), st.sampled_from(["before", "after"]), st.sampled_from("abck")),
        max_size=6,
    ),
    order=st.permutations(["p", "q"]),
)
def test_profiles_insert_into_a_recipe_as_into_a_list(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, str]], order: list[str]
) -> None:
    text = BASE.replace("- keep: a == 1", "- keep: {name: k, expression: a == 1}")
    by_profile: dict[str, list[str]] = {"p": [], "q": []}
    for number, (name, key, anchor) in enumerate(entries):
        by_profile[name].append(f"{key} {anchor}: n{number}")
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(text + "".join(profile(name, *found) for name, found in by_profile.items()))
    nodes = {name: Node(name) for name in ("a", "b", "c", "k")}
    for entry in (entry for name in order for entry in by_profile[name]):
        key, anchor, new = entry.replace(":", "").split()
        getattr(nodes[anchor], key).append(Node(new))
    first, *middle, last = (nodes[name].flatten() for name in "abck")
    rounds = [name for part in middle for name in part]
    expected = [*first, *rounds, *(f"{name}.2" for name in rounds), *last]
    assert names_of(load_recipe(path, profile=",".join(order))) == expected

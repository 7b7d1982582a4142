"""Steps that choose from several answers, and draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf import api
from mminf.errors import RecipeError

from .runs import Run, calls


def test_a_step_that_draws_several_answers_can_be_shown(go: Run, tmp_path: Path) -> None:
    steps = "- generate: {engine: a, prompt: 'say {{ q }}', n: 3, into: k, sampling: {temperature: 1}}\n"
    go(steps, {"id": "x", "q": "hi"})
    assert "say hi" in str(api.render(api.load(tmp_path / "recipe.yaml"), "generate"))


def test_draws_of_several_are_different(go: Run) -> None:
    found = go(
        "- draw: {reads: own, n: 2, writes: two}\n", *({"id": str(n), "own": ["a", "a", "b"]} for n in range(20))
    )
    assert all(sorted(row["two"]) == ["a", "b"] for row in found["rows"].values())


def test_draws_come_from_the_record_alone(go: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("# what to ask\n\nfirst line\nsecond line\n  third line \n")
    steps = """
    - draw: {name: one, file: lines.txt, writes: line}
    - draw: {name: two, values: {often: 3, rarely: 1, never: 0}, writes: kind}
    - draw: {name: three, reads: own, writes: mine}
    """
    items = [{"id": str(n), "own": [n, n + 1]} for n in range(400)]
    rows = go(steps, *items)["rows"]
    assert {row["line"] for row in rows.values()} == {"first line", "second line", "third line"}
    kinds = [row["kind"] for row in rows.values()]
    assert set(kinds) == {"often", "rarely"}
    assert 250 < kinds.count("often") < 350
    assert {row["mine"] - int(name) for name, row in rows.items()} == {0, 1}
    alone = go(steps, items[17])["rows"]
    assert alone["17"] == rows["17"]
    assert go(steps, {"id": "x", "own": []})["failed"]["x"].startswith("field 'own' is not a list with items")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("writes: w", "exactly one of"),
        ("writes: w, values: []", "empty"),
        ("writes: w, values: {a: 0}", "not all 0"),
        ("writes: w, file: nowhere.txt", "no template 'nowhere.txt'"),
        ("writes: w, values: [a], by: kind", "`by` needs `file`"),
        ("writes: w, file: twice.txt, by: kind", "duplicate or empty section"),
        ("writes: w, file: hollow.txt, by: kind", "contains no values: before the first section, b"),
    ],
)
def test_draws_that_can_not_be_are_told(go: Run, settings: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_text("x\n[a]\ny\n[A]\nz\n")
    (tmp_path / "hollow.txt").write_text("[a]\ny\n[b]\n")
    with pytest.raises(RecipeError, match=message):
        go(f"- draw: {{{settings}}}\n", {"id": "x"})


def test_the_best_of_several_answers_is_chosen(go: Run, calls_log: Path) -> None:
    reply = """
if "rate" in text:
    return f"[[{int(text[-1]) % 5 + 1}]]"
return str(request.seed)
"""
    steps = """
    - generate: {engine: a, prompt: "{{ q }}", writes: answer, n: 6, into: tries, sampling: {temperature: 1}}
    - score: {name: s, for_each: tries, engine: a, prompt: "rate {{ answer }}"}
    - choose: {reads: tries, highest: s, writes: [answer, s]}
    """
    row = go(steps, {"id": "x", "q": "q"}, reply=reply)["rows"]["x"]
    assert len({item["answer"] for item in row["tries"]}) == 6
    best = max(item["s"] for item in row["tries"])
    first = next(item for item in row["tries"] if item["s"] == best)
    assert (row["answer"], row["s"]) == (first["answer"], best)


def test_of_several_answers_those_that_can_not_be_used_are_left_out(go: Run) -> None:
    reply = 'return "" if "never" in text or request.seed % 3 else "fine"'
    steps = "- generate: {engine: a, prompt: '{{ q }}', n: 8, into: tries, sampling: {temperature: 1}, attempts: 2}\n"
    found = go(steps, {"id": "x", "q": "sometimes"}, {"id": "y", "q": "never"}, reply=reply)
    assert 0 < len(found["rows"]["x"]["tries"]) <= 8
    assert all(item == {"response": "fine"} for item in found["rows"]["x"]["tries"])
    assert found["failed"]["y"] == "none of 8 answers can be used; the first: answer is empty (2 attempts)"


def test_choosing_tells_what_it_can_not_choose_from(go: Run) -> None:
    steps = "- choose: {reads: list, lowest: nll, writes: [text]}\n"
    found = go(
        steps,
        {"id": "good", "list": [{"nll": 2, "text": "b"}, {"nll": 1, "text": "a"}, {"nll": 1, "text": "c"}]},
        {"id": "empty", "list": []},
        {"id": "words", "list": [{"nll": "low", "text": "a"}]},
        {"id": "short", "list": [{"nll": 1}]},
        {"id": "plain", "list": ["a"]},
        {"id": "bare", "list": [{"text": "a"}]},
    )
    assert found["rows"]["good"]["text"] == "a"
    assert found["dropped"]["empty"].reason == "no item in list"
    assert "is not a number for every item" in found["failed"]["words"]
    assert found["failed"]["short"] == "the chosen item of 'list' has no text"
    assert found["failed"]["plain"] == "field 'list' is not a list of objects"
    assert "nll" in found["failed"]["bare"]


def test_a_comparison_must_hold_in_both_orders(go: Run, calls_log: Path) -> None:
    reply = """
a, b = (line.split("=")[1] for line in text.splitlines())
if "x" in (a, b):
    return "I prefer the first: [[A]]"
return "[[A]]" if len(a) > len(b) else "[[B]]" if len(b) > len(a) else "[[C]]"
"""
    steps = '- compare: {engine: a, reads: [one, two], prompt: "a={{ a }}\\nb={{ b }}"}\n'
    found = go(
        steps,
        {"id": "first", "one": "long", "two": "s"},
        {"id": "second", "one": "s", "two": "long"},
        {"id": "equal", "one": "same", "two": "size"},
        {"id": "biased", "one": "x", "two": "longer"},
        reply=reply,
    )
    verdicts = {name: row["better"] for name, row in found["rows"].items()}
    assert verdicts == {"first": "first", "second": "second", "equal": "tie", "biased": "tie"}
    assert len(calls(calls_log)) == 8
    tagged = (
        'return "[[A]]" if "a=Is [image 2] red?" in text else "[[B]]" if "b=Is [image 2] red?" in text else "[[C]]"'
    )
    found = go(steps, {"id": "tag", "one": "<image>Is <image> red?", "two": "no"}, reply=tagged)
    assert found["rows"]["tag"]["better"] == "first", "tags of the texts are no places of the prompt"
    found = go(steps, {"id": "mute", "one": "a", "two": "b"}, reply='return "both are nice"')
    assert "the judge chose none of [[A]], [[B]], [[C]]" in found["failed"]["mute"]
    with pytest.raises(RecipeError, match="does not show b"):
        go(steps.replace("{{ b }}", ""), {"id": "x", "one": "a", "two": "b"})


def test_a_field_chooses_the_section_that_is_drawn_from(go: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("# lines\nother\nthings\n\n[Food]\nsoup\nbread\n[birds]\nowl\n")
    items = [{"id": f"{kind}{n}", "kind": kind} for kind in ("food", " Birds", "", "cars") for n in range(20)]
    found = go(
        "- draw: {file: lines.txt, by: kind, writes: line}\n", *items, {"id": "none"}, {"id": "null", "kind": None}
    )
    drawn: dict[str, set[object]] = {}
    for row in found["rows"].values():
        drawn.setdefault(str(row.get("kind")), set()).add(row["line"])
    assert drawn["food"] == {"soup", "bread"}
    assert drawn[" Birds"] == {"owl"}
    assert drawn[""] == drawn["cars"] == {"other", "things"}
    assert drawn["None"] <= {"other", "things"}

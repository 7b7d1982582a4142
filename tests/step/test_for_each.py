"""`for_each`: a step at each item of a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf import api
from mminf.errors import MissingField, RecipeError
from mminf.step import Context, Outcome, Record, RecordError, Step, StepConfig
from mminf.testing import run_step

from .runs import Run, calls


class OddConfig(StepConfig):
    writes: str = "kept"


class Odd(Step[OddConfig]):
    """Writes a field that it does not declare."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {"other": 1}


def test_a_step_writes_into_each_item_of_a_list(go: Run, calls_log: Path) -> None:
    found = go(
        'generate: {for_each: qa, engine: a, prompt: "{{ topic }}: {{ question }}", writes: answer}\n'.join(["- ", ""]),
        {"id": "x", "topic": "cats", "qa": [{"question": "who?", "n": 1}, {"question": "why?"}]},
        {"id": "none", "topic": "cats", "qa": []},
    )
    assert found["rows"]["x"]["qa"] == [
        {"question": "who?", "n": 1, "answer": "<cats: who?>"},
        {"question": "why?", "answer": "<cats: why?>"},
    ]
    assert found["rows"]["none"]["qa"] == []
    assert calls(calls_log) == ["cats: who?", "cats: why?"]


def test_plain_items_become_objects_and_keep_their_place(go: Run) -> None:
    found = go(
        """
        - generate:
            for_each: {field: parts, item: part}
            engine: a
            prompt: "{{ part }}"
            writes: verdict
            when: part != "b"
        """,
        {"id": "x", "parts": ["a", "b", "c"]},
    )
    assert found["rows"]["x"]["parts"] == [{"part": "a", "verdict": "<a>"}, "b", {"part": "c", "verdict": "<c>"}]


def test_items_are_dropped_failed_and_tried_again_by_themselves(go: Run, calls_log: Path) -> None:
    reply = """
if "bad" in text:
    return "no score"
if "odd" in text and request.seed % 2:
    return "no score"
return "[[5]]" if "good" in text else "[[1]]"
"""
    items = [{"t": f"good {n}"} for n in range(3)] + [{"t": f"odd good {n}"} for n in range(8)] + [{"t": "low"}]
    steps = """
    - score: {name: s, for_each: {field: list, failed: drop, dropped: gone}, engine: a, prompt: "{{ t }}", attempts: 20}
    - keep: {for_each: {field: list, dropped: gone}, expression: s == 5}
    """
    found = go(steps, {"id": "x", "list": [*items, {"t": "bad"}]}, {"id": "y", "list": [{"t": "low"}]}, reply=reply)
    row = found["rows"]["x"]
    assert [item["t"] for item in row["list"]] == [item["t"] for item in items[:-1]]
    assert all(item["s"] == 5 for item in row["list"])
    assert [(item["t"], item["reason"]) for item in row["gone"]] == [
        ("bad", "no score from 1 to 5 in 'no score' (20 attempts)"),
        ("low", "s 1, not 5"),
    ]
    assert calls(calls_log).count("good 1") == 1, "only what can't be read is asked again"
    assert "none of 1 items is left" in found["dropped"]["y"].reason
    assert found["dropped"]["y"].fields["gone"][0]["reason"] == "s 1, not 5"


def test_a_field_that_is_not_there_drops_as_any_false_condition_does(go: Run) -> None:
    found = go("- keep: c is defined and c\n", {"id": "x", "c": "y"}, {"id": "z"})
    assert list(found["rows"]) == ["x"]
    assert found["dropped"]["z"].reason == "c is not defined"
    found = go("- keep: {for_each: l, expression: c is defined}\n", {"id": "x", "l": [{"c": 1}, {"d": 1}]})
    assert found["rows"]["x"]["l"] == [{"c": 1}]


def test_what_a_step_asks_for_an_item_can_be_shown(go: Run, tmp_path: Path) -> None:
    go(
        "- generate: {engine: a, for_each: {field: l, item: t}, prompt: 'say {{ t }}', writes: r}\n",
        {"id": "x", "l": ["hi"]},
    )
    recipe = api.load(tmp_path / "recipe.yaml")
    assert "say hi" in str(api.render(recipe, "generate", record="x", output=tmp_path / "out"))


def test_mistakes_in_short_forms_are_told_by_their_own_keys(go: Run) -> None:
    with pytest.raises(RecipeError, match="unknown key 'itme'; did you mean 'item'"):
        go("- split: {for_each: {field: l, itme: t}, reads: t, writes: u}\n", {"id": "x", "l": []})
    with pytest.raises(RecipeError, match="reads field 'partz', but nothing provides it; did you mean 'parts'"):
        go("- split: {for_each: partz, reads: t, writes: u}\n", {"id": "x", "parts": []})


def test_a_failed_item_fails_its_record_unless_told_otherwise(go: Run) -> None:
    reply = 'if text == "b": raise ValueError("told to fail")\nreturn text'
    steps = '- generate: {for_each: {field: list, item: t}, engine: a, prompt: "{{ t }}", writes: r}\n'
    found = go(steps, {"id": "x", "list": ["a", "b"]}, {"id": "y", "list": ["a"]}, {"id": "z", "list": 7}, reply=reply)
    assert found["failed"] == {
        "x": "item 2 of list: scripted: told to fail",
        "z": "field 'list' is not a list, but int",
    }
    assert list(found["rows"]) == ["y"]


def test_items_are_asked_once_whatever_becomes_of_the_run(go: Run, calls_log: Path) -> None:
    steps = """
    - generate: {name: one, for_each: {field: list, item: t}, engine: a, prompt: "{{ t }}", writes: r}
    - set: {words: "list | map(attribute='r') | join(' ')"}
    """
    row = {"id": "x", "list": ["same", "same", "other"]}
    assert go(steps, row)["rows"]["x"]["words"] == "<same> <same> <other>"
    again = go(steps.replace("join(' ')", "join('-')"), row)
    assert again["rows"]["x"]["words"] == "<same>-<same>-<other>"
    assert calls(calls_log) == ["other", "same", "same"]


def test_equal_items_have_seeds_of_their_own(go: Run) -> None:
    found = go(
        "- generate: {for_each: {field: list, item: t}, engine: a, prompt: '{{ t }}', writes: r, "
        "sampling: {temperature: 1}}\n",
        {"id": "x", "list": ["same"] * 4},
        reply="return str(request.seed)",
    )
    assert len({item["r"] for item in found["rows"]["x"]["list"]}) == 4


def test_children_take_the_place_of_their_item(go: Run) -> None:
    found = go(
        "- split: {for_each: list, reads: text, separator: ',', writes: part}\n",
        {"id": "x", "list": [{"text": "a,b"}, {"text": "c"}]},
    )
    assert [item["part"] for item in found["rows"]["x"]["list"]] == ["a", "b", "c"]


def test_a_dataset_step_takes_no_items(go: Run) -> None:
    with pytest.raises(RecipeError, match="works on the whole dataset"):
        go("- deduplicate: {for_each: list, reads: t}\n", {"id": "x", "list": []})


@pytest.mark.parametrize(
    "steps",
    [
        "- generate: {engine: a, prompt: '{{ q }}', n: 12, into: k, sampling: {temperature: 1}}\n",
        "- generate: {engine: a, for_each: {field: list, item: t, failed: drop}, prompt: '{{ q }} {{ t }}', writes: r}\n",
    ],
)
def test_what_a_server_refuses_once_is_not_left_out_for_good(go: Run, tmp_path: Path, steps: str) -> None:
    reply = f"""
if os.path.exists({str(tmp_path / "broken")!r}) and (request.seed % 2 or "b" in text): raise ValueError("refused")
return "fine"
"""
    (tmp_path / "broken").touch()
    row = {"id": "x", "q": "q", "list": ["a", "b", "c"]}
    assert "refused" in go(steps, row, reply=reply)["failed"]["x"]
    (tmp_path / "broken").unlink()
    found = go(steps, row, reply=reply)["rows"]["x"]
    assert len(found.get("k", range(12))) == 12
    assert "k" in found or all(item["r"] == "fine" for item in found["list"])


def test_a_retry_asks_only_for_items_that_could_not_be_read(go: Run, calls_log: Path, tmp_path: Path) -> None:
    reply = f"""
if text == "bad" and not os.path.exists({str(tmp_path / "mended")!r}): return "no score"
return "[[4]]"
"""
    steps = "- score: {name: s, for_each: {field: list, item: t}, engine: a, prompt: '{{ t }}', attempts: 2}\n"
    row = {"id": "x", "list": ["one", "bad", "two"]}
    assert "item 2 of list" in go(steps, row, reply=reply)["failed"]["x"]
    assert calls(calls_log) == ["bad", "bad", "one", "two"]
    (tmp_path / "mended").touch()
    api.retry(tmp_path / "out")
    calls_log.write_text("")
    assert [item["s"] for item in go(steps, row, reply=reply)["rows"]["x"]["list"]] == [4, 4, 4]
    assert calls(calls_log) == ["bad"]


def test_what_a_step_writes_into_items_is_checked() -> None:
    with pytest.raises(RecordError, match="wrote other, which it does not declare"):
        run_step(Odd, {"for_each": "parts"}, {"parts": ["a"]})


def test_an_item_that_lacks_a_field_is_no_failure_of_the_model() -> None:
    config = {"engine": "e", "prompt": "{{ missing }}", "writes": "said", "for_each": "parts"}
    with pytest.raises(MissingField, match="item 1 of parts"):
        run_step("generate", config, {"parts": ["a"]})

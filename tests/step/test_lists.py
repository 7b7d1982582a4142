"""Steps over the items of a list, rounds, draws, choices, comparisons: on the scripted engine."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.errors import MissingField, RecipeError
from mminf.journal import Journal
from mminf.recipe.schema import make_schema
from mminf.step import Context, Outcome, Record, RecordError, Step, StepConfig
from mminf.testing import run_step

from ..conftest import read_rows

Run = Callable[..., dict[str, Any]]

SCRIPT = """
import os

def answer(request):
    text = request.turns[-1].text
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(text.replace("\\n", " ") + "\\n")
    return reply(request, text)
"""


@pytest.fixture
def go(write_recipe: Callable[[str], Path], rows: Callable[..., Path], calls_log: Path, tmp_path: Path) -> Run:
    """Runs steps over rows; returns the finished rows, the failures and the drops by id."""

    def run(
        steps: str, *items: dict[str, object], reply: str = 'return f"<{text}>"', **settings: Any
    ) -> dict[str, Any]:
        (tmp_path / "script.py").write_text(SCRIPT + "\ndef reply(request, text):\n" + textwrap.indent(reply, "    "))
        rows(*items)
        recipe = write_recipe(
            f"engines: {{a: {{backend: scripted, script: {tmp_path}/script.py}}}}\n"
            "source: {jsonl: rows.jsonl}\nsteps:\n"
            + textwrap.indent(textwrap.dedent(steps), "  ")
            + "\nsinks:\n  - jsonl: out.jsonl\n"
        )
        output = tmp_path / "out"
        mminf.run(recipe, output=output, overrides=settings)
        with Journal(output) as journal:
            ended = {row.id: row for row in journal.outcomes.rows(0, states=("failed", "dropped", "expanded"))}
        return {
            "rows": {row["id"]: row for row in read_rows(output / "out.jsonl")},
            "failed": {name: row.reason for name, row in ended.items() if row.state == "failed"},
            "dropped": {name: row for name, row in ended.items() if row.state == "dropped"},
        }

    return run


def calls(log: Path) -> list[str]:
    return sorted(log.read_text().splitlines())


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
        ("low", "not s == 5 (s=1)"),
    ]
    assert calls(calls_log).count("good 1") == 1, "only what can't be read is asked again"
    assert "none of 1 items is left" in found["dropped"]["y"].reason
    assert found["dropped"]["y"].fields["gone"][0]["reason"] == "not s == 5 (s=1)"


def test_a_field_that_is_not_there_drops_as_any_false_condition_does(go: Run) -> None:
    found = go("- keep: c is defined and c\n", {"id": "x", "c": "y"}, {"id": "z"})
    assert list(found["rows"]) == ["x"]
    assert found["dropped"]["z"].reason == "not c is defined (no c)"
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


def test_rounds_end_when_they_are_told_to(go: Run, calls_log: Path) -> None:
    steps = """
    - set: {n: "0"}
    - repeat:
        name: grow
        times: 4
        until: n >= wanted
        steps:
          - generate: {name: more, engine: a, prompt: "{{ id_text }} {{ n }}", writes: text}
          - set: {name: count, fields: {n: n + 1}}
    """
    found = go(steps, *({"id": name, "id_text": name, "wanted": int(name[1:])} for name in ("a1", "b2", "c9")))
    assert {name: row["n"] for name, row in found["rows"].items()} == {"a1": 1, "b2": 2, "c9": 4}
    assert calls(calls_log) == ["a1 0", "b2 0", "b2 1", "c9 0", "c9 1", "c9 2", "c9 3"]
    assert found["rows"]["c9"]["text"] == "<c9 3>"


def test_a_round_that_makes_its_own_end_true_still_ends_with_its_last_step(go: Run) -> None:
    steps = """
    - set: {n: "0", log: "''"}
    - repeat:
        times: 3
        until: n == 2
        steps:
          - set: {name: first, fields: {n: n + 1}}
          - set: {name: second, fields: {log: "log ~ n"}}
    """
    assert go(steps, {"id": "x"})["rows"]["x"]["log"] == "12"


def test_a_score_is_called_the_same_in_every_round(go: Run, calls_log: Path) -> None:
    reply = 'return "[[2]]" if text == "rate x+1" else "[[9]]"'
    steps = """
    - repeat:
        times: 3
        until: rating >= 8
        steps:
          - set: {name: grow, fields: {t: t ~ '+1'}}
          - score: {name: rating, engine: a, prompt: "rate {{ t }}", scale: [1, 10]}
          - check: {name: sure, engine: a, prompt: "sure {{ t }}", when: "false"}
    """
    row = go(steps, {"id": "x", "t": "x"}, reply=reply)["rows"]["x"]
    assert (row["t"], row["rating"]) == ("x+1+1", 9)
    assert not any("." in name for name in row)


def test_two_repeats_need_names(go: Run) -> None:
    with pytest.raises(RecipeError, match="duplicate name of a repeat, 'repeat'; give this repeat another `name`"):
        go("- repeat: {times: 2, until: n > 1, steps: [set: {n: n + 1}]}\n" * 2, {"id": "x", "n": 0})


def test_a_step_that_draws_several_answers_can_be_shown(go: Run, tmp_path: Path) -> None:
    steps = "- generate: {engine: a, prompt: 'say {{ q }}', n: 3, into: k, sampling: {temperature: 1}}\n"
    go(steps, {"id": "x", "q": "hi"})
    assert "say hi" in str(api.render(api.load(tmp_path / "recipe.yaml"), "generate"))


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


def test_draws_of_several_are_different(go: Run) -> None:
    found = go(
        "- draw: {reads: own, n: 2, writes: two}\n", *({"id": str(n), "own": ["a", "a", "b"]} for n in range(20))
    )
    assert all(sorted(row["two"]) == ["a", "b"] for row in found["rows"].values())


def test_short_forms_are_in_the_schema() -> None:
    schema = json.dumps(make_schema())
    assert '"for_each": {"anyOf": [{"type": "string"}' in schema
    assert '"history": {"anyOf": [{"type": "string"}' in schema


def test_steps_of_a_round_are_named_placed_and_changed_like_others(go: Run, write_recipe: Any) -> None:
    path = write_recipe("""
name: r
engines: {a: {backend: scripted, answer: x}}
steps:
  - repeat:
      times: 2
      steps:
        - keep: n > 0
        - generate: {engine: a, prompt: "{{ n }}", writes: t}
""")
    recipe = api.load(path, settings=["steps.generate.prompt=again {{ n }}", "steps.repeat.times=3"])
    assert [step.name for step in recipe.steps] == [
        "keep", "generate", "keep.2", "generate.2", "keep.3", "generate.3",
    ]  # fmt: skip
    assert {step.template.source for step in recipe.steps if step.type == "generate"} == {"again {{ n }}"}
    recipe = api.load(path, settings=["steps.keep=false"])
    assert [step.name for step in recipe.steps] == ["generate", "generate.2"]
    path.write_text(path.read_text().replace("writes: t", "wirtes: t").replace("times: 2", "times: 2000"))
    with pytest.raises(RecipeError) as caught:
        api.load(path)
    assert "recipe.yaml:6: step 'repeat': times" in str(caught.value)
    path.write_text(path.read_text().replace("times: 2000", "times: 2"))
    with pytest.raises(RecipeError, match=r"recipe.yaml:9: step 'generate': unknown key 'wirtes'"):
        api.load(path)
    path.write_text(path.read_text().replace("- keep: n > 0", "- repeat: {times: 2, steps: [{keep: n > 0}]}"))
    with pytest.raises(RecipeError, match="can't contain another repeat"):
        api.load(path)


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
    ],
)
def test_draws_that_can_not_be_are_told(go: Run, settings: str, message: str) -> None:
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


def test_a_list_that_is_too_short_or_too_long_is_asked_for_again(go: Run, calls_log: Path) -> None:
    reply = """
if "always" in text:
    return "\\n".join(f"{n}. Question {n}?" for n in range(1, 41))
return "1. One?\\n2. Not a question.\\n3. Two?" if request.sampling.temperature else "1. One?"
"""
    steps = """
    - generate:
        engine: a
        prompt: "{{ q }}"
        extract: {lines: qs, matching: '[?？]$', item: question, count: [2, 8]}
    """
    found = go(steps, {"id": "x", "q": "sometimes"}, {"id": "y", "q": "always"}, reply=reply)
    assert found["rows"]["x"]["qs"] == [{"question": "One?"}, {"question": "Two?"}]
    assert found["failed"]["y"] == "40 items, not 2 to 8 (3 attempts)"


def test_a_conversation_goes_on_from_its_earlier_turns(go: Run) -> None:
    reply = 'return " | ".join(f"{turn.role}:{turn.text}" for turn in request.turns) + f" {request.open_turn}"'
    steps = """
    - generate: {engine: a, history: talk, system: be brief, prompt: "{{ q }}", writes: said}
    - hook: {engine: a, images: false, history: {field: talk}, writes: next}
    """
    talk = [{"instruction": "hi", "response": "hello"}]
    found = go(
        steps, {"id": "x", "q": "why?", "talk": talk}, {"id": "y", "q": "why?", "talk": []},
        {"id": "bad", "q": "why?", "talk": [{"instruction": "hi"}]}, {"id": "none", "q": "why?", "talk": "hi"},
        reply=reply,
    )  # fmt: skip
    assert found["rows"]["x"]["said"] == "system:be brief | user:hi | assistant:hello | user:why? None"
    assert found["rows"]["x"]["next"] == "user:hi | assistant:hello | user: user"
    assert found["rows"]["y"]["said"] == "system:be brief | user:why? None"
    assert found["failed"]["bad"].startswith("field 'talk' is not a list of turns with 'instruction' and 'response'")
    assert found["failed"]["none"].startswith("field 'talk' is not a list of turns")


def test_images_stand_in_the_first_turn_of_a_conversation(go: Run, tmp_path: Path, images: Path) -> None:
    picture = str(sorted(images.iterdir())[0])
    reply = 'return " | ".join(str([type(part).__name__ for part in turn.parts]) for turn in request.turns)'
    found = go(
        '- generate: {engine: a, history: talk, prompt: "{{ images }}{{ q }}", writes: said}\n'
        "- hook: {engine: a, history: talk, writes: next}\n",
        {"id": "x", "q": "why?", "images": [picture], "talk": [{"instruction": "hi", "response": "hello"}]},
        {"id": "y", "q": "why?", "images": [picture], "talk": []},
        reply=reply,
        source={"jsonl": {"path": str(tmp_path / "rows.jsonl"), "allow_any_path": True}},
    )
    assert found["rows"]["x"]["said"] == "['ImagePart', 'str'] | ['str'] | ['str']"
    assert found["rows"]["x"]["next"] == "['ImagePart', 'str'] | ['str'] | []"
    assert found["rows"]["y"]["said"] == "['ImagePart', 'str']"
    assert found["rows"]["y"]["next"] == "['ImagePart']"


def test_rows_with_several_turns(go: Run, tmp_path: Path) -> None:
    talk = [{"instruction": "one", "response": "1"}, {"instruction": "two", "response": "2"}]
    rows = [{"id": str(n), "talk": talk} for n in range(40)]
    sinks = [
        {"swift": {"path": "s.jsonl", "turns": "talk", "placeholders": 1}},
        {"llava": {"path": "l.jsonl", "turns": "talk", "placeholders": 1, "image_at": "random", "id_prefix": "u_"}},
        {"jsonl": "out.jsonl"},
    ]
    go("- keep: 1 == 1\n", *rows, {"id": "bad", "talk": []}, {"id": "half", "talk": [*talk[:1], {"n": 1}]}, sinks=sinks)
    swift = read_rows(tmp_path / "out" / "s.jsonl")
    assert len(swift) == 40
    assert [turn["content"] for turn in swift[0]["messages"]] == ["<image>one", "1", "two", "2"]  # type: ignore[attr-defined]
    llava = read_rows(tmp_path / "out" / "l.jsonl")
    first: Any = [row["conversations"][0]["value"] for row in llava]  # type: ignore[index]
    assert set(first) == {"<image>\none", "one\n<image>"}
    assert llava[0]["id"] == "u_0"
    assert json.dumps(llava).count("<image>") == 40


def test_the_likelihood_of_an_answer_needs_log_probabilities(go: Run) -> None:
    found = go("- generate: {engine: a, prompt: hi, nll: nll}\n", {"id": "x"})
    assert "returned no log-probabilities" in found["failed"]["x"]
    with pytest.raises(RecipeError, match="n > 1 needs `into`"):
        go("- generate: {engine: a, prompt: hi, n: 2}\n", {"id": "x"})
    with pytest.raises(RecipeError, match="needs a temperature"):
        go("- generate: {engine: a, prompt: hi, n: 2, into: list}\n", {"id": "x"})


class OddConfig(StepConfig):
    writes: str = "kept"


class Odd(Step[OddConfig]):
    """Writes a field that it does not declare."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {"other": 1}


def test_what_a_step_writes_into_items_is_checked() -> None:
    with pytest.raises(RecordError, match="wrote other, which it does not declare"):
        run_step(Odd, {"for_each": "parts"}, {"parts": ["a"]})


def test_an_item_that_lacks_a_field_is_no_failure_of_the_model() -> None:
    config = {"engine": "e", "prompt": "{{ missing }}", "writes": "said", "for_each": "parts"}
    with pytest.raises(MissingField, match="item 1 of parts"):
        run_step("generate", config, {"parts": ["a"]})

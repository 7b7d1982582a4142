"""MMEvol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .conftest import Play

Pictures = Callable[..., list[str]]

MMEVOL = """
kind = "format" if "in another form" in text else "reasoning" if "takes more steps" in text else "breadth"
if "[[" in text:
    return "[[3]]" if "dull" in text.rsplit("Instruction:", 1)[1] else "[[8]]"
if "an improvement on the old one" in text:
    return "No." if "never" in text.rsplit("New instruction:", 1)[1] else "Yes."
start = text.split("Instruction:\\n", 1)[1].split("\\n")[0]
return f"<instruction>{start} +{kind}</instruction>\\n<response>to {start} +{kind}</response>"
"""


def test_pairs_evolve_and_what_did_not_improve_is_eliminated(play: Play, pictures: Pictures) -> None:
    images = pictures("red")
    rows = [
        {"id": str(n), "images": images, "instruction": f"q{n}", "response": "r", "caption": "CAP"} for n in range(60)
    ]
    rows += [{"id": "never", "images": images, "instruction": "never", "response": "r"}]
    rows += [{"id": "dull", "images": images, "instruction": "dull", "response": "r", "objects": ["a cup left"]}]
    found = play("mmevol", rows, MMEVOL)
    written = {row["id"]: row for row in found.rows["mmevol.jsonl"]}
    assert set(written) == {str(n) for n in range(60)}
    assert set(found.dropped) == {"never", "dull"}
    kinds = Counter(kind for row in written.values() for kind in row["evolutions"])
    assert sum(kinds.values()) == 180
    assert 70 < kinds["breadth"] < 110
    assert 25 < kinds["format"] < 65
    row = written["7"]
    assert row["messages"][0]["content"] == "<image>q7 " + " ".join(f"+{kind}" for kind in row["evolutions"])
    assert row["seed_instruction"] == "q7"
    assert found.asked("What the image shows: CAP")
    assert found.asked("Objects and positions: ['a cup left']")
    assert not any("What the image shows:" in prompt for prompt in found.asked("never") if "Write a new pair" in prompt)


def test_a_tag_that_is_missing_is_asked_for_again(play: Play, pictures: Pictures) -> None:
    reply = 'if "Write a new pair" in text and request.seed % 2: return "<instruction>cut"\n'
    rows = [{"id": "x", "images": pictures("red"), "instruction": "q", "response": "r"}]
    found = play("mmevol", rows, reply + MMEVOL, **{"steps.evolve.attempts": 20, "steps.round.times": 1})
    assert [row["id"] for row in found.rows["mmevol.jsonl"]] == ["x"]

"""Types of instructions by the tags of an image."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from mminf_plugins.chains.task_types import read_types, select_types, weigh_keywords, words_of

from mminf.step import RecordError
from mminf.testing import make_step, run_step

TYPES = """
# group | type | keywords | examples
object | count | *, dog | How many a? | How many b? | How many c?
object | breed | dog, cat | Which a? | Which b?
text | read | sign, dog | What a? | What b?
scene | place | * | Where a? | Where b?
"""


def counts(tags: list[str], n: int = 2) -> Counter[str]:
    types = read_types(TYPES, "t.txt")
    weights = weigh_keywords(types)
    known = words_of(tags, "tags")
    drawn = (select_types(types, weights, known, n, random.Random(seed)) for seed in range(400))
    return Counter(kind.name for found in drawn for kind in found)


def test_types_that_share_a_tag_come_first() -> None:
    found = counts(["sign"], 1)
    assert found == {"read": 400}
    assert counts(["sign"], 3).keys() == {"read", "count", "place"}, "then those that suit every image"


def test_rare_keywords_weigh_more() -> None:
    """`cat` is a keyword of one type, `dog` of three."""
    found = counts(["Black cat; dog"], 1)
    assert found["breed"] > found["count"] + found["read"]


def test_types_are_of_different_groups() -> None:
    found = counts(["dog"], 4)
    assert found["count"] + found["breed"] == 400
    assert found["count"] > 100 < found["breed"], "ties are drawn"


def test_the_step_is_the_same_for_the_same_record(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TYPES)
    step = make_step("task_types", {"file": "t.txt", "n": 2}, templates=[tmp_path])
    first, second = (run_step(step, None, {"tags": "a dog, a sign"}) for _ in range(2))
    assert first == second
    assert isinstance(first, dict)
    for kind in first["turns"]:
        assert kind["first_example"] != kind["second_example"]
    for tags in (5, None, [1], {"a": "dog"}):
        with pytest.raises(RecordError, match="'tags' is neither a text nor a list"):
            run_step(step, None, {"tags": tags})


@pytest.mark.parametrize("line", ["object | count", "object | count | dog | only one?", "| count | dog | a? | b?"])
def test_a_line_that_is_no_type_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"t.txt:2: expected `group"):
        read_types(f"# comment\n{line}\n", "t.txt")


def test_a_file_without_types_is_refused() -> None:
    with pytest.raises(ValueError, match="contains no types"):
        read_types("# nothing\n", "t.txt")

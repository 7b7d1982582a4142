"""Markers that judges are asked to end with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.markers import read_markers


def read(content: str) -> int | None:
    """Reads a number; `n` is a placeholder."""
    return None if content == "n" else int(content)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("[[4]]", 4, id="double brackets"),
        pytest.param("The score is [[ 4 ]].", 4, id="spaces"),
        pytest.param(r"\boxed{4}", 4, id="boxed"),
        pytest.param(r"\[ \boxed{\text{4}} \]", 4, id="boxed text"),
        pytest.param("【4】", 4, id="Chinese brackets"),
        pytest.param("<score> 4 </score>", 4, id="tag"),
        pytest.param("[[4]]\nIn short: [[4]]", 4, id="twice the same"),
        pytest.param("[[4]] because it is short", 4, id="reason after it"),
        pytest.param("[[4]]分", 4, id="points"),
        pytest.param("Not [[5]], but [[4]].", 4, id="negated one before"),
        pytest.param("It is about [[2]] objects: [[4]]", 4, id="a count before"),
        pytest.param("Write [[n]], where n is a score.\n[[4]]", 4, id="placeholder before"),
        pytest.param("Choose [[1]], [[2]], [[3]], [[4]] or [[5]].\n[[4]]", 4, id="list before"),
        pytest.param("From [[1]] to [[5]]: [[4]]", 4, id="range before"),
        pytest.param("[[1]]-[[5]]: [[4]]", 4, id="range with a hyphen"),
        pytest.param("Use [[1]][[5]].\nI choose [[4]].", 4, id="two without a separator"),
        pytest.param("[[5]] - very clear\n[[1]] - unclear\nIt is short.\n[[4]]", 4, id="rubric before"),
        pytest.param("[[5]]: clear\n[[3]]: vague\n[[1]]: unclear\nMine is [[4]]", 4, id="longer rubric"),
        pytest.param("[[4]] - it is clear", 4, id="one explained value"),
        pytest.param("[[4]]: clear. In short [[4]]: clear", 4, id="one value explained twice"),
    ],
)
def test_the_value_that_is_stated(text: str, value: int) -> None:
    assert read_markers(text, read) == (True, value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[[4]] or [[5]]?", id="choice"),
        pytest.param("[[4]]\n\nNo: [[5]].", id="two values"),
        pytest.param("[[4]], [[5]]\nFinal: [[4]]", id="two values with a comma, and one of them"),
        pytest.param("[[1]], [[2]], [[3]]", id="only a list"),
        pytest.param("[[1]] to [[5]]", id="only a range"),
        pytest.param("[[1]][[5]] [[4]] is it", id="one of a list is singled out"),
        pytest.param("[[5]] - clear\n[[1]] - unclear", id="only a rubric"),
        pytest.param("not [[4]]", id="negated"),
        pytest.param("[[4]] would be too much", id="considered"),
        pytest.param("There are [[4]] objects", id="counted"),
        pytest.param("[[four]]", id="no value"),
        pytest.param("[[]]", id="empty"),
        pytest.param("[[4]] and then [[x]]", id="a value and no value"),
    ],
)
def test_markers_that_state_no_value(text: str) -> None:
    assert read_markers(text, read) == (True, None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("4", id="number"),
        pytest.param("[4]", id="single brackets"),
        pytest.param("[[4]", id="not closed"),
        pytest.param("", id="empty"),
        pytest.param("[[n]]", id="placeholder"),
        pytest.param("[[n]] where n is 4", id="placeholder and explanation"),
    ],
)
def test_without_a_marker_the_rest_of_the_answer_decides(text: str) -> None:
    assert read_markers(text, read) == (False, None)


@given(st.integers(0, 99), st.text(st.characters(exclude_characters="[]{}【】<>\\"), max_size=40))
def test_a_marker_on_a_line_of_its_own_is_read_after_any_text(value: int, before: str) -> None:
    assert read_markers(f"{before}.\n\n[[{value}]]", read) == (True, value)


@given(
    st.lists(
        st.sampled_from(["[[1]]", "[[2]]", "【3】", "[[n]]", "[[x]]", " or ", ", ", "\n", "not", ": so", "2"]),
        max_size=8,
    )
)
def test_a_value_is_always_one_that_a_marker_has(pieces: list[str]) -> None:
    marked, value = read_markers("".join(pieces), read)
    assert value is None or (marked and any(str(value) in piece for piece in pieces if piece[0] in "[【"))

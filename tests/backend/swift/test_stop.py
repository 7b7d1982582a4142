from __future__ import annotations

import pytest

from mminf.backend.swift.stop import cut_stop


@pytest.mark.parametrize(
    ("text", "stops", "min_tokens", "expected"),
    [
        ("a\nb", [], 0, "a\nb"),
        ("a b", ["\n"], 0, "a b"),
        ("a\n", ["\n"], 0, "a"),
        ("a.\n\nThe", ["\n"], 0, "a."),
        ("a ###\nb", ["\nb", "###"], 0, "a "),
        ("<think>\n\n</think>\n\na\n", ["\n"], 0, "<think>\n\n</think>\n\na"),
        ("a\nb\n", ["\n"], 3, "a\nb"),
        ("a\nbut this answer ended with its turn", ["\n"], 3, "a\nbut this answer ended with its turn"),
    ],
)
def test_an_answer_ends_before_its_stop_string(text: str, stops: list[str], min_tokens: int, expected: str) -> None:
    assert cut_stop(text, stops, min_tokens) == expected

r"""Markers that judges are asked to end with: `[[4]]`, `[[A]]`, `\boxed{Yes}`, 【8】."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from mminf.answer.clauses import is_meant
from mminf.answer.clean import any_of
from mminf.lazy import lazy_pattern

T = TypeVar("T")
_MARKER = lazy_pattern(
    r"\[\[\s*([^\[\]]*?)\s*\]\]|\\boxed\{\s*(?:\\text\{)?([^{}]*?)\}?\s*\}|【\s*([^【】]*?)\s*】|<score>\s*([^<>]*?)\s*</score>"
)
# Text between the markers of an enumeration of all markers.
_BETWEEN = lazy_pattern(
    r"\A[\s\"'`*_]*(?:[,;/|、，]|to|or|and|through|直到|\.{2,3}|…|-|–|至|到|或|和|,\s*(?:or|and))*[\s\"'`*_]*\Z",
    re.IGNORECASE,
)
# A marker that states a value ends its sentence, or a reason follows. In "[[2]] objects" it is a count.
_STOP = lazy_pattern(
    r"\A[ \t*_`\"'’”$)）\]}]*(?:[^\w\s]|\n|\Z|"
    + any_of(
        "because, since, as, for, due, given, and, but, here, overall, is better, is the better, is "
        "right, is fair, is correct, is "
        "appropriate, is justified, is more, it is, wins, seems, out of"
    )
    + r"\b|因为|由于|分)",
    re.IGNORECASE,
)
_EXPLAINED = lazy_pattern(r"\A[ \t*_`]*(?:[:：=(（]|[-–—](?![-–—]))[ \t*_`]*[^\W\d]")


class _Mark(NamedTuple):
    start: int
    end: int
    content: str


def read_markers(text: str, read: Callable[[str], T | None]) -> tuple[bool, T | None]:
    """Returns whether a text has markers, and the value that they state; None if they state none or several.

    An enumeration or a rubric of the values, as in an echo of the prompt, states no value. A marker that is negated,
    compared or considered does not, either. All other markers must agree.

    Args:
        read: returns the value of a marker's content, or None for a placeholder such as `n`. Raises ValueError if the
            content is not a value.
    """
    marks = [
        _Mark(found.start(), found.end(), next(g for g in found.groups() if g is not None))
        for found in _MARKER.finditer(text)
    ]
    kept = _without_lists(text, marks)
    listed = bool(marks) and not kept
    marks = kept
    values: list[tuple[_Mark, T]] = []
    for mark in marks:
        try:
            value = read(mark.content)
        except ValueError:
            return True, None
        if value is not None:
            values.append((mark, value))
    if not values:
        return listed, None  # only placeholders: the rest of the answer may state a value
    values = _without_rubric(text, values)
    stated = {value for mark, value in values if is_meant(text, mark.start, mark.end) and _STOP.match(text[mark.end :])}
    return True, stated.pop() if len(stated) == 1 else None


def _without_rubric(text: str, values: list[tuple[_Mark, T]]) -> list[tuple[_Mark, T]]:
    """Removes the markers of a rubric, which explains several values: "[[5]] - clear, [[4]] - ..."."""
    explained = [(mark, value) for mark, value in values if _EXPLAINED.match(text[mark.end :])]
    if len({value for _, value in explained}) < 2:
        return values
    return [item for item in values if item not in explained]


def _without_lists(text: str, marks: list[_Mark]) -> list[_Mark]:
    """Removes enumerations: three or more different markers with separators between them, or `A to B`."""
    runs: list[list[_Mark]] = []
    for mark in marks:
        if runs and _BETWEEN.match(text[runs[-1][-1].end : mark.start]):
            runs[-1].append(mark)
        else:
            runs.append([mark])

    def is_list(run: list[_Mark]) -> bool:
        if len(run) < 2 or len({mark.content for mark in run}) < len(run):
            return False
        between = text[run[0].end : run[1].start].strip()
        return len(run) > 2 or not between or re.search(r"[\w/–.-]", between) is not None

    return [mark for run in runs if not is_list(run) for mark in run]

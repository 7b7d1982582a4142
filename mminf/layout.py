"""Lays out text for a terminal: lines break between words, never inside of one."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence

from mminf.lazy import lazy_pattern

_WIDE = "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6"
_PIECE = lazy_pattern(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]+")
"""White space, a character of a script without spaces, or a word."""
_MORE = "…"
_LINE = 400
"""The width at which `fold` breaks lines that are not printed to a terminal."""
_SHORTEST_PATH = 12
"""The smallest number of columns in which the end of a path says something."""


def columns(text: str) -> int:
    """Returns how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or char in "\u200b\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(text: str, width: int | None, indent: str = "") -> list[str]:
    """Returns a text as lines of at most a width; a longer word has a line of its own.

    Args:
        width: None: one line for each line of the text.
        indent: of all lines but the first.
    """
    if width is None:
        return [("" if number == 0 else indent) + line for number, line in enumerate(text.split("\n"))]
    found: list[str] = []
    for paragraph in text.split("\n"):
        line, space = (indent if found else ""), ""
        start = True  # no word in the line yet
        for piece in _PIECE.findall(paragraph):
            if piece.isspace():
                space = piece
                continue
            if not start and columns(line) + columns(space) + columns(piece) > width:
                found.append(line)
                line, space, start = indent, "", True
            line, space, start = f"{line}{space}{piece}", "", False
        found.append(line)
    return found


def wrap_command(words: Sequence[str], width: int | None, indent: str = "  ") -> list[str]:
    """Returns a shell command as lines that can be pasted: they break between arguments, with a backslash.

    Args:
        width: None: one line.
    """
    lines = [indent]
    for number, word in enumerate(map(shlex.quote, words)):
        space = " " if number else ""
        if width is not None and number and columns(lines[-1]) + columns(word) + 3 > width:
            lines[-1] += " \\"
            lines.append(indent + indent)
            space = ""
        lines[-1] += f"{space}{word}"
    return lines


def fit(text: str, width: int | None) -> str:
    """Returns a text on one line; if it is longer than the width, it ends after a word, with an ellipsis.

    If only a path does not fit, its last parts are kept.
    """
    text = " ".join(text.split())
    if width is None or columns(text) <= width:
        return text
    line = ""
    for piece in _PIECE.findall(text):
        if columns(line + piece) + 2 > width:
            break
        line += piece
    rest, line = text[len(line) :].strip(), line.rstrip()
    room = width - columns(line) - 1
    if "/" in rest and " " not in rest and room >= _SHORTEST_PATH:
        return f"{line} {fit_id(rest, room)}".strip()
    return f"{line} {_MORE}".strip()


def fit_name(text: str, width: int | None) -> str:
    """Returns the beginning of a name that is longer than the width, with an ellipsis: whole parts, as in `a_b.c`."""
    return _fit_parts(text, width, re.findall(r"[^_.\-/ ]*[_.\-/ ]?", text), from_end=False)


def fit_id(text: str, width: int | None) -> str:
    """Returns the end of an id that is longer than the width, with an ellipsis: whole parts of a path."""
    return _fit_parts(text, width, re.findall(r"[/ ]?[^/ ]*", text), from_end=True)


def _fit_parts(text: str, width: int | None, parts: Sequence[str], *, from_end: bool) -> str:
    if width is None or columns(text) <= width:
        return text
    kept = ""
    for part in reversed(parts) if from_end else parts:
        longer = part + kept if from_end else kept + part
        if columns(longer) + 1 > width:
            break
        kept = longer
    if not kept:  # one long part
        chars = text[::-1] if from_end else text
        while chars and columns(chars) + 1 > width:
            chars = chars[:-1]
        kept = chars[::-1] if from_end else chars
    return _MORE + kept if from_end else kept + _MORE


def fold(text: str, lines: int, width: int | None, start: str = "") -> list[str]:
    """Returns the first lines of a text, and how long the whole text is if there are more.

    Args:
        start: comes before the text in the first line.
    """
    wrapped = wrap(start + text.strip("\n"), width or _LINE)
    if len(wrapped) <= lines:
        return wrapped
    return [*wrapped[:lines], f"{_MORE} ({len(text):,} characters)"]


def pad(text: str, width: int) -> str:
    """Returns a text with spaces after it up to a width."""
    return text + " " * max(0, width - columns(text))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Returns a table: a left column of names, and right columns of numbers.

    A name that is too long for its column has a line of its own. The titles may have two lines.
    """
    titles = [title.split("\n") for title in header]
    height = max(map(len, titles))
    titles = [[""] * (height - len(title)) + title for title in titles]
    right = [max(map(columns, texts)) for texts in _transpose([*zip(*titles, strict=True), *rows])[1:]]
    room = max((columns(row[0]) for row in rows), default=0)
    if width is not None:
        room = min(room, max(8, width - sum(right) - 2 * len(right)))
    room = max(room, *map(columns, titles[0]))
    found = [_row([title[number] for title in titles], room, right) for number in range(height)]
    for row in rows:
        if columns(row[0]) > room:
            found.append(row[0])
            row = ["", *row[1:]]
        found.append(_row(row, room, right))
    return found


def _transpose(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    return list(zip(*rows, strict=True))


def _row(cells: Sequence[str], room: int, right: Sequence[int]) -> str:
    numbers = [" " * (width - columns(cell)) + cell for cell, width in zip(cells[1:], right, strict=True)]
    return "  ".join([pad(cells[0], room), *numbers]).rstrip()


def amount(number: int, noun: str) -> str:
    """Returns a number with its noun: `1 call`, `1,200 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Returns a duration in its two largest units: `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    for size, unit, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if rest >= size:
            return f"{rest // size} {unit} {rest % size // smaller} {below}"
    return f"{rest} s"

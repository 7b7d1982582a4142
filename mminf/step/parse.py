"""Parses model output: tags, JSON, lists, plain texts, patterns. Placeholders are refused."""

from __future__ import annotations

import contextlib
import json
import re

from mminf.answer.clean import final_text, short
from mminf.answer.placeholder import require_content
from mminf.answer.score import parse_score
from mminf.errors import UnusableAnswer
from mminf.lazy import lazy_pattern
from mminf.media import break_tags
from mminf.record import Json

__all__ = [
    "parse_json",
    "parse_lines",
    "parse_plain_text",
    "parse_regex",
    "parse_score",
    "parse_tag",
    "require_contents",
    "why_not_prose",
]

_WORD = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|[一二三四五六七八九十]{1,3}|\d{1,2})"
_MARKED = lazy_pattern(
    r"(?:[-•*–·]\s+|[①-⑳]\s*|#\d{1,2}\s+|\d{1,2}\s+[-–]\s+|[\[(（【]?\d{1,2}\s*[\]).、:：．）】](?!\d)\s*"
    rf"|[一二三四五六七八九十]{{1,3}}[、.．:：]\s*|\(?[a-h]\)\s+|(?:Q|Question|问题|问|第)\s*{_WORD}\s*(?:个问题)?\s*[.):：]\s*|Q\s*[.:：]\s+)"
    r"(\S.*)$",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(r"(?:request|question|q|instruction|prompt|请求|问题|指令)\s*[:：]\s*(?=\S)", re.IGNORECASE)
_EMPHASIS = lazy_pattern(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("`", "`"), ("「", "」"), ("*", "*"), ("_", "_"))
# A JSON list or object, possibly in a fence and after an introductory line; `[1] What?` is a number.
_JSON = lazy_pattern(r"\s*(?:[^\n\[{]{0,200}[:：.!]\s*)?(?:```\w*\s*)?(?:\{|\[\s*(?:[\"'“{\[]|[-\d.,\s]*\]\s*\Z))")
# Brackets in the words before an object: "as [1] shows: {...}".
_ASIDES = lazy_pattern(r"(?:[^\[]*\[[^\[\]\"']{0,40}\])+[^\[]*")
_FENCE = lazy_pattern(r"^\s*```")
_BULLET = lazy_pattern(r"[-•*–·]\s")
_EMPTY_LINE = lazy_pattern(r"\n[^\S\n]*\n")
_HEADING = lazy_pattern(r"#{1,6}\s+\D")
_THINK_TAGS = ("<think>", "</think>")
# A first line that introduces the text: "Here are the changed thoughts:".
_INTRODUCTION = lazy_pattern(r"\s*(?:here (?:are|is)|sure|certainly)\b[^\n]*:\s*\n", re.IGNORECASE)
# The delimiters that prompts put around a text.
_FRAMED = lazy_pattern(r"\s*\[Begin of ([^\[\]\n]{1,40})\](.*)\[End of \1\]\s*\Z", re.IGNORECASE | re.DOTALL)
# A first line that only names the text, as a heading, in bold type or with a colon: "**Rewritten text:**".
_NAMES_TEXT = (
    r"(?:(?:the|my|your|rewritten|revised|changed|edited|corrected|modified|updated|new|final|full|text"
    r"|version|thoughts?|thinking|reasoning|thought process|answer|output|result|response)\b[ \t]*){1,5}"
    r"|(?:(?:改写|修改|更改|更新)(?:后|过)?的?|最终的?)?(?:文本|内容|思考(?:过程)?|思路|推理(?:过程)?|结果|输出)"
)
_HEADING_LINE = lazy_pattern(
    rf"\s*(?:#{{1,6}}[ \t]+[*_]{{0,3}}(?:{_NAMES_TEXT})[*_]{{0,3}}[:：]?[*_]{{0,3}}"
    rf"|(?P<bold>\*\*|__)(?:{_NAMES_TEXT})(?:[:：](?P=bold)|(?P=bold)[:：]?)|(?:{_NAMES_TEXT})[:：])"
    r"[ \t]*(?:(?:\r?\n)+|\Z)",
    re.IGNORECASE,
)
_LONGEST_REPAIRED = 20_000
"""Maximum length of broken JSON that is repaired; the time grows with the square of the length."""


def parse_tag(text: str, tag: str) -> str:
    """Returns the text between `<tag>` and `</tag>` (or `<start of tag>` and `<end of tag>`).

    Raises:
        UnusableAnswer: if the tag is missing, empty or not closed.
    """
    name = re.escape(tag).replace(r"\ ", r"\s+")
    opening = rf"<\s*(?:start of\s+)?{name}\s*>"
    pattern = rf"{opening}((?:(?!{opening}).)*?)<\s*(?:/|end of\s+)\s*{name}\s*>"
    found = re.findall(pattern, final_text(text), re.IGNORECASE | re.DOTALL)
    if not found or not found[-1].strip():
        raise UnusableAnswer(f"no <{tag}>…</{tag}> in {short(text)}")
    return require_content(found[-1].strip(), f"<{tag}>")


def parse_json(text: str) -> dict[str, Json] | list[Json]:
    """Returns the JSON value in an answer. Code fences and text around it are ignored; small errors are repaired.

    Raises:
        UnusableAnswer: if the text contains no object or list, or only a truncated one.
    """
    try:
        found = _broken(_read_json(final_text(text)))
    except (RecursionError, ValueError) as error:  # nested a thousand levels deep; a number with thousands of digits
        raise UnusableAnswer(f"no readable JSON in {short(text)}: {error}") from error
    assert isinstance(found, dict | list)
    return found


def _broken(value: Json) -> Json:
    """Returns a value with the media tags of its texts broken; `\\u003cimage>` in JSON is a tag as well."""
    if isinstance(value, str):
        return break_tags(value)
    if isinstance(value, list):
        return [_broken(item) for item in value]
    return {key: _broken(item) for key, item in value.items()} if isinstance(value, dict) else value


def _read_json(text: str) -> Json:
    if _ASIDES.fullmatch(text, 0, max(0, text.find("{"))) is not None:
        text = text[text.find("{") :]
    if (start := re.search(r"[{\[]", text)) is not None:
        # The first whole value: fences and text may be around it, and fences inside its strings.
        with contextlib.suppress(json.JSONDecodeError):
            return _first_values(text, start.start())
    fenced = re.search(r"^```(?:json)?[ \t]*\n(.*?)^```", text, re.DOTALL | re.IGNORECASE | re.MULTILINE)
    body = (fenced[1] if fenced else text).strip()
    starts = [index for index in (body.find("{"), body.find("[")) if index >= 0]
    if not starts:
        raise UnusableAnswer(f"no JSON in {short(text)}")
    body = body[min(starts) :]
    closer = "}" if body[0] == "{" else "]"
    end = body.rfind(closer)
    if end < 0:
        raise UnusableAnswer(f"JSON is cut off in {short(text)}")
    if _is_open(body):
        raise UnusableAnswer(f"JSON is cut off in {short(text)}")
    body = body[: end + 1]
    if len(body) > _LONGEST_REPAIRED:
        raise UnusableAnswer(f"no readable JSON in {short(text)}")
    from json_repair import repair_json

    value = repair_json(body, return_objects=True)
    if not isinstance(value, dict | list) or not value:
        raise UnusableAnswer(f"no readable JSON in {short(text)}")
    return value


def _first_values(text: str, start: int) -> Json:
    """The first JSON value; for consecutive objects, as in JSON Lines, the list of all of them."""
    value, end = json.JSONDecoder().raw_decode(text, start)
    values = [value]
    while isinstance(value, dict) and (more := re.compile(r"[\s,]*(?=\{)").match(text, end)):
        value, end = json.JSONDecoder().raw_decode(text, more.end())
        values.append(value)
    return values if len(values) > 1 else values[0]


def _is_open(body: str) -> bool:
    """Returns whether a bracket or a string is not closed at the end, so that the JSON is truncated."""
    depth, quoted, escaped = 0, False, False
    for char in body:
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        else:
            depth += (char in "{[") - (char in "}]")
            if depth == 0:
                return False
    return True


def parse_lines(text: str, *, spanning: bool = False) -> list[str]:
    """Returns the items of a list that a model wrote as JSON or as lines.

    If several lines begin with a number or a bullet, only these lines are items. Otherwise all lines are items, except
    introductory lines, which end with a colon. Markers, quotes and emphasis around an item are removed. Duplicate items
    are removed.

    Args:
        spanning: an item continues on the following lines that have no marker, up to an empty line. Without markers,
            empty lines separate the items.

    Raises:
        UnusableAnswer: if it is JSON that can't be read or is not a list of texts, or if an item is a placeholder.
    """
    text = final_text(text)
    if _JSON.match(text):
        return _tidied(_texts(parse_json(text), text))
    if spanning:
        return _tidied(_spanning(text))
    lines = _list_lines(text)
    marked = [found[1] for line in lines if (found := _MARKED.match(line))]
    if len(marked) < 2 or 3 * len(marked) < len(lines):
        plain = [line for line in lines if not line.rstrip("*_ ").endswith((":", "："))]
        marked = [found[1] if (found := _MARKED.match(line)) else line for line in plain]
    return _tidied(marked)


def _spanning(text: str) -> list[str]:
    """Returns the items of a list in which an item may have several lines, each item on one line."""
    blocks = [lines for block in _EMPTY_LINE.split(text) if (lines := _list_lines(block))]
    first = next((line for block in blocks for line in block if _MARKED.match(line)), None)
    if first is not None:
        # Lines with another kind of marker are a list inside of an item.
        bulleted = _is_bulleted(first)
        return [item for block in blocks for item in _marked_items(block, bulleted=bulleted)]
    items = [" ".join(block) for block in blocks] if len(blocks) > 1 else [line for block in blocks for line in block]
    return [item for item in items if not item.rstrip("*_ ").endswith((":", "："))]


def _marked_items(block: list[str], *, bulleted: bool) -> list[str]:
    """Returns the items of lines without an empty line between them. What comes before the first marker is left out."""
    items: list[list[str]] = []
    for line in block:
        found = _MARKED.match(line)
        if found is not None and _is_bulleted(line) is bulleted:
            items.append([found[1]])
        elif items:
            items[-1].append(line)
    return [" ".join(item) for item in items]


def _is_bulleted(line: str) -> bool:
    return _BULLET.match(line) is not None


def _list_lines(text: str) -> list[str]:
    """Returns the lines of a list without fences, headings and emphasis. Raises UnusableAnswer if it is a table."""
    lines = [
        _EMPHASIS.sub(r"\2", line.strip()) for line in text.splitlines() if line.strip() and not _FENCE.match(line)
    ]
    if sum(line.startswith("|") and line.endswith("|") for line in lines) > 1:
        raise UnusableAnswer(f"a table instead of a list in {short(text)}")
    return [line.removesuffix("<br>").rstrip() for line in lines if not _HEADING.match(line)]


def _texts(value: Json, text: str) -> list[str]:
    """The texts of a JSON list of texts, or of objects with one text each; it may be the only list in an object."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = lists[0] if len(lists) == 1 else None
    found = []
    for item in value if isinstance(value, list) else [None]:
        held = [part for part in item.values() if isinstance(part, str)] if isinstance(item, dict) else [item]
        if len(held) != 1 or not isinstance(held[0], str):
            raise UnusableAnswer(f"no list of texts in {short(text)}")
        found.append(held[0])
    return found


def _tidied(items: list[str]) -> list[str]:
    found = []
    for item in items:
        bare = _EMPHASIS.sub(r"\2", item).strip()
        if (label := _LABEL.match(bare)) is not None:
            bare = bare[label.end() :]
        for first, last in _QUOTES:
            inner = bare[1:-1]
            if len(bare) > 2 and bare[0] == first and bare[-1] == last and first not in inner and last not in inner:
                bare = inner.strip()
        found.append(bare)
    return [require_content(item, "an item") for item in dict.fromkeys(found) if item]


def parse_plain_text(text: str, what: str) -> str:
    """Returns an answer that consists of the requested text alone.

    A first line that only names the text ("**Rewritten text:**"), and `[Begin of X]` and `[End of X]` around the text,
    are removed.

    Args:
        what: name of the text in messages.

    Raises:
        UnusableAnswer: if the answer is empty or a placeholder, contains a <think> tag, or begins with a line that
            introduces the text: it starts with "Here is", "Here are", "Sure" or "Certainly" and ends with a colon.
    """
    text = final_text(text)
    if tag := next((tag for tag in _THINK_TAGS if tag in text), None):
        raise UnusableAnswer(f"{what} contains {tag}: {short(text)}")
    if found := _INTRODUCTION.match(text):
        raise UnusableAnswer(f"{what} begins with an introduction: {short(found[0])}")
    return require_content(_without_frame(text).strip(), what)


def _without_frame(text: str) -> str:
    """Returns a text without its heading, and without the delimiters that a prompt puts around texts."""
    for _ in range(2):  # a heading may be before the delimiters or between them
        if (heading := _HEADING_LINE.match(text)) is not None:
            text = text[heading.end() :]
        if (framed := _FRAMED.match(text)) is not None:
            text = framed[2]
    return text


def why_not_prose(text: str) -> str | None:
    """Returns why a text is not a single paragraph of prose, or None if it is one."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if len(lines) < 2:
        return "is a list item or a heading" if _MARKED.match(text) or _HEADING.match(text) else None
    if any(_MARKED.match(line) or _HEADING.match(line) for line in lines):
        return "is a list"
    return "has several paragraphs"


def parse_regex(text: str, pattern: str) -> dict[str, str] | str:
    """Returns the named groups of the first match of a pattern; without any, the first group, or the match.

    Raises:
        UnusableAnswer: if nothing matches.
    """
    text = final_text(text)
    found = re.search(pattern, text, re.DOTALL)
    if found is None:
        raise UnusableAnswer(f"nothing matches {pattern!r} in {short(text)}")
    if found.groupdict():
        return {name: (value or "").strip() for name, value in found.groupdict().items()}
    return str(found[1] if found.re.groups else found[0]).strip()


def require_contents(value: Json, what: str) -> Json:
    """Returns the value. Raises UnusableAnswer if a text in it is a placeholder."""
    if isinstance(value, str) and value.strip():
        require_content(value, what)
    elif isinstance(value, list):
        for item in value:
            require_contents(item, what)
    elif isinstance(value, dict):
        for name, item in value.items():
            require_contents(item, str(name))
    return value

"""Reads a judge's score on an integer scale."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from mminf.answer.clauses import is_meant
from mminf.answer.clean import any_of, final_text, listed, plain_digits, short, unfence, unwrap
from mminf.answer.markers import read_markers
from mminf.errors import AskAgain

_WORDS = {
    **{word: n for n, word in enumerate(listed("zero,one,two,three,four,five,six,seven,eight,nine,ten"))},
    **{word: n for n, word in enumerate("一二三四五六七八九十", 1)},
}
# An integer that is not a part of another number, of a range or of a sum.
_N = r"(?<![\d.,\-+])(?P<n>\d{1,3}(?:\.0+)?)(?![\d+]|[.,]\d|\s*[-–~]\s*\d|-(?!\s))"
_WORD = r"(?P<word>\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)\b|[一二三四五六七八九十](?=分|\s*$))"
_NW = rf"(?:{_N}|{_WORD})"
_MARKUP = r"[\s*_`\"'“”’(\[{（【|>$]*"
_CLOSING = r"[\s*_`\"'”’)\]}）】|$]*"
# Words that name a score, and those that may name something else, so that a colon or the like must follow.
_NARROW = any_of("scores?, ratings?, grade, marks?, rated, 评分, 得分, 分数, 打分, 评级, 给分")
_WIDE = any_of(
    "verdict, answer, result, evaluation, assessment, judge?ment, level, conclusion, rank, value, "
    "等级, 结果, 结论, 答案, 评价, 总分, 最终"
)
_SEPARATOR = r"(?:[:：=]|->|→|=>|\bis\b|\bwould\s+be\b|\bwill\s+be\b|为|是|\s[-–—]\s|–|—)"
# What may follow a score that is stated: an end, a reason, points. A noun would make it a count.
_REASONS = any_of("because, since, as, for, due, given, and, but, with, in, on, here, overall, out of, to this, to the")
_FITS = any_of("right, fair, correct, appropriate, justified")
_STOPS = r"\Z|[\n.,;:!?()（\[—–→|/。，；：！？、]|-\s|分|点|因|由"
_AFTER = rf"(?={_CLOSING}(?:{_STOPS}|(?:points?|stars?|{_REASONS}|is\s+{_FITS})\b))"
_NOT_RANGE = r"(?!\s*(?:or|to|and|或|至|到)\s*\d)"
_STATED = rf"{_MARKUP}{_NW}{{top}}{_NOT_RANGE}{_AFTER}"
_VERBS = any_of(
    "give, gave, rate, rated, say, score, scored, assign, assigned, go with, award, choose, chose, pick, "
    "picked, settle on, "
    "settle for, think, believe, evaluate, judge, consider, vote"
)
_GIVES = (
    rf"(?:(?:i|we)(?:['’]d|['’]ll|\s+would|\s+will|\s+shall)?\s+(?:\w+ly\s+)?{_VERBS}"
    r"|(?:deserve|get|earn|receive|merit|warrant)s?|\brated|\bscored|\bgraded|[得给打评](?:出|为|了)?)"
)
_FILLER = r"(?:\s+(?!\d)[^\s.,;:!?\d]+){0,7}?"


def parse_score(text: str, low: int = 1, high: int = 5) -> int:
    """Returns the score that a judge gave.

    It counts where it is the whole answer, a marker such as `[[4]]` at the beginning or end, a line of its own at the
    end, or in a clause that states it ("Score: 4", "I'd give it a 4 since ..."). Other numbers, ranges and enumerations
    of the scale don't count.

    Raises:
        AskAgain: if no score from `low` to `high` is given, or several are.
    """
    answer = plain_digits(unfence(final_text(text)))
    try:
        marked, score = read_markers(answer, lambda content: _content(content, high))
        if not marked:
            found = set(_json_scores(answer, high)) or set(_stated(answer, low, high))
            score = found.pop() if len(found) == 1 else None
    except ValueError:
        score = None
    if score is None or not low <= score <= high:
        raise AskAgain(f"no score from {low} to {high} in {short(text)}")
    return score


def _content(content: str, high: int) -> int | None:
    """The number in a marker; None for a placeholder. Raises ValueError for another number."""
    text = re.sub(rf"\A{_NARROW}\s*[:=]?\s*|\s*(?:分|points?|stars?)\Z", "", content.strip(), flags=re.IGNORECASE)
    text = re.sub(rf"\s*(?:/|out\s+of)\s*{high}(?:\s*分)?\Z", "", text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if re.fullmatch(r"\d+(?:\.0+)?", text):
        return int(float(text))
    if re.search(r"\d", text):
        raise ValueError(content)
    return None


def _json_scores(text: str, high: int) -> Iterator[int]:
    """The scores in an answer that is a JSON object, alone or in a fence with words around it."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return
    try:
        value = json.loads(text[start : end + 1])
    except ValueError:
        return
    if not isinstance(value, dict):
        return
    named = {key: item for key, item in value.items() if re.search(_NARROW, str(key), re.IGNORECASE)}
    limits = re.compile(r"max|min|scale|out_?of|total", re.IGNORECASE)
    for key, item in (named or value).items():
        if limits.search(str(key)) or isinstance(item, bool):
            continue
        if isinstance(item, int | float) or (
            isinstance(item, str) and re.fullmatch(r"\D{0,3}\d+\D{0,6}\d*\D{0,3}", item)
        ):
            number = _content(str(item).strip("[]【】 "), high)
            if number is not None:
                yield number


def _stated(answer: str, low: int, high: int) -> Iterator[int]:
    """Every score that the answer states."""
    text = _without_scale(answer, low, high)
    top = rf"(?:\s*(?:/|\bout\s+of\b)\s*{high}(?!\d))?"
    if (whole := _whole(top).fullmatch(_unwrapped(text))) is not None:
        yield _number(whole)
        return
    for pattern in _patterns(top):
        for found in pattern.finditer(text):
            if is_meant(text, found.start("n" if found["n"] else "word"), found.end()):
                yield _number(found)
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    if len(lines) > 1:
        alone = re.compile(rf"{_MARKUP}{_N}{top}\s*(?:分|points?)?[\s*_`\"'”)\]}}）】|.。!！]*")
        for line in (lines[0], lines[-1]):
            if (last := alone.fullmatch(line.strip(" |\t"))) is not None:
                yield _number(last)


@lru_cache(maxsize=16)
def _whole(top: str) -> re.Pattern[str]:
    """The score alone, or with the name of an axis or of a level: "4/5", "Clarity: 4", "Level: High (4)"."""
    words = r"[^\W\d_]+(?:[ -][^\W\d_]+){0,3}"
    label = rf"(?:{words}[\s*_`]*(?:[:：,=(（]|\s[-–—])\s*(?:{words}\s*[(（])?)?"
    end = r"\s*(?:points?|stars?|分|点)?[\s*_`\"'”)\]}）】.。!！]*"
    return re.compile(rf"{label}{_MARKUP}{_NW}\s*{top}{end}", re.IGNORECASE)


@lru_cache(maxsize=16)
def _patterns(top: str) -> list[re.Pattern[str]]:
    stated = _STATED.replace("{top}", top)
    remark = r"[\s*_`\"']*(?:\([^()]*\))?[\s*_`\"']*"
    named = rf"{remark}{_SEPARATOR}[:：\s]*(?:an?\s+)?{stated}"
    begun = r"(?:\s[-–—]\s(?!\s*\d)|[:：,，;；](?!\s*\d)|\s*[(（](?!\d)|\s+(?:because|since|as|for|due)\b|\n)"
    sources = [
        # "Score: 4", "**Rating** (for clarity): 4/5", "the score would be 4", "Verdict: 4"
        rf"{_NARROW}(?:\s+(?:for|of|on|given)\b{_FILLER})?{named}",
        rf"{_WIDE}{named}",
        # "score 5", "a score of 4"
        rf"\b{_NARROW}[\s*_`]+(?:of\s+)?{stated}",
        # "I'd give it a 4 since ...", "it deserves a 4", "得8分"
        rf"(?<![a-z]){_GIVES}{_FILLER}\s*(?:\s(?:an?|as|at)\s+(?:an?\s+)?|\s)?(?:a\s+score\s+of\s+)?{stated}",
        # "4 is right", "4 seems fair"
        rf"{_MARKUP}{_N}{top}\s+(?:is|seems|would\s+be)\s+(?:the\s+)?(?:{_FITS}|my\s+(?:score|rating|verdict|answer))\b",
        # "n is 4"
        rf"\b[nx]\s*(?:is|=)\s*{_N}{_AFTER}",
        # "5 - Very clear", "4 (clear)", "4, because ...": at the beginning, and no list of all scores
        rf"\A{_MARKUP}{_N}{top}{_CLOSING}{begun}(?!.*\n\W*\d)",
        # "4/5", "4 out of 5 because ..."
        rf"{_N}\**{top.removesuffix('?')}(?!\s*\**\s*of\b){_AFTER}",
    ]
    return [re.compile(source, re.IGNORECASE | re.DOTALL) for source in sources]


def _without_scale(text: str, low: int, high: int) -> str:
    """Takes out what only names the scale: "1 to 5", "(1-5)", "on a scale of 1 to 5", 满分5分."""
    before = r"(?:\b(?:on|in|from|between|using|with|of)\b[\s\w]{0,30}?)?"
    after = r"(?!\d|\s*(?:stars?|points?)\s+(?:is|are))\s*(?:分)?\s*[)）\]]?"
    scale = rf"[(（\[]?\s*{before}(?<![\d.]){low}\s*(?:to|and|through|-|–|—|~|至|到|\.\.)\s*{high}{after}"
    scale += rf"|[(（]?(?:满分|总分)(?:为|是)?\s*[:：]?\s*{high}\s*分?[)）]?"
    return re.sub(scale, " ", text, flags=re.IGNORECASE)


def _unwrapped(text: str) -> str:
    bare = unwrap(text, brackets=True)
    bare = re.sub(r"[(（]\s*[)）]", "", bare)
    return re.sub(r"\A[\s#>|*_`-]+(?!\d)|\A#+\s*|[\s|]+\Z", "", bare).strip()


def _number(found: re.Match[str]) -> int:
    groups: dict[str, Any] = found.groupdict()
    if groups.get("word"):
        return _WORDS[str(groups["word"]).lower()]
    return int(float(str(groups["n"])))

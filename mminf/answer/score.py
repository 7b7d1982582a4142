"""Reads a judge's score on an integer scale."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from mminf.answer.clauses import is_meant
from mminf.answer.clean import any_of, listed, short, unwrap, verdict_text
from mminf.answer.markers import read_markers
from mminf.errors import UnusableAnswer
from mminf.lazy import lazy_pattern

_WORDS = {
    **{word: n for n, word in enumerate(listed("zero,one,two,three,four,five,six,seven,eight,nine,ten"))},
    **{word: n for n, word in enumerate("一二三四五六七八九十", 1)},
}
# An integer that is not part of another number, a range, a half or a sum.
_N = (
    r"(?<![\d.,\-+/])(?P<n>\d{1,3}(?:\.0+)?)"
    r"(?![\d+]|[.,]\d|\s*[-–~]\s*\d|-(?!\s)|\s+and\s+a\s+half|\s*分半|\s*点五|\s*分[钟之]|\s*%)"
)
_WORD = (
    r"(?P<word>\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)\b|[一二三四五六七八九十](?=分(?!之)|\s*$))"
)
_NW = rf"(?:{_N}|{_WORD})"
_DIGITS = 9
_MARKUP = r"[ \t*_`\"'“”’(\[{（【|$]*"
_CLOSING = r"[ \t*_`\"'”’)\]}）】|$]*"
# Words that name a score. The wide ones may name something else, so that a colon or similar must follow.
_NARROW = r"(?<![A-Za-z])" + any_of("scores?, ratings?, grade, marks?, rated, 评分, 得分, 分数, 打分, 评级, 给分")
_WIDE = r"(?<![A-Za-z])" + any_of(
    "verdict, answer, result, evaluation, assessment, judge?ment, level, conclusion, 等级, 结果, 结论, 答案, 评价, 最终"
)
_SEPARATOR = r"(?:[:：=]|->|→|=>|\bis\b|\bwould\s+be\b|\bshould\s+be\b|\bwill\s+be\b|为|是|\s[-–—]\s|–|—)"
_COLON = r"(?:[:：=]|->|→|=>|\s[-–—]\s|–|—)"
# Text that may follow a stated score: an end, a reason, points. With a noun the number is a count.
_REASONS = any_of(
    "because, since, as, for, due, given, and, but, with, here, overall, in clarity, in total, to this, to the"
)
_FITS = any_of("right, fair, correct, appropriate, justified")
_STOPS = r"\Z|[\n.,;:!?()（\[—–→|。，；：！？、\U0001f300-\U0001faff]|-\s|分|点|因|由"
_AFTER = rf"(?={_CLOSING}(?:{_STOPS}|(?:points?|stars?|{_REASONS}|is\s+{_FITS})\b))"
# Not a choice of scores, several scores, or a score of another scale.
_ALONE = (
    r"(?!\s*(?:分|points?)?\s*(?:,?\s*(?:or|to|and|或|至|到|和)\s*(?:even\s+)?(?:an?\s+|for\s+\w+\s+(?:is\s+)?)?|[,、;]\s*)\d)"
    r"(?!\s*(?:/|／|\bout\s+of\b|\bof\b)\s*\d)(?!\s+(?:(?:in|for)\s+\w+\s+)?and\b[^.\n]{0,30}\s\d)"
)
_STATED = rf"{_MARKUP}{_NW}{{top}}{_ALONE}{_AFTER}"
_VERBS = any_of(
    "give, gave, rate, rated, score, scored, assign, assigned, go with, award, choose, chose, pick, "
    "picked, settle on, settle for"
)
_SELF = r"(?:(?<![a-z])(?:i|we)(?:['’]d|['’]ll|\s+would|\s+will|\s+shall)?)"
_THINKS = (
    r"(?:think|believe|feel|say)(?:\s+that)?(?:\s+(?:it|this|that|the\s+\w+)"
    r"(?:['’]s|\s+(?:is|deserves|gets|earns|merits|warrants|should\s+be)))?"
)
_GIVES = (
    rf"(?:{_SELF}\s+(?:\w+ly\s+)?(?:{_VERBS}|{_THINKS})|(?<![a-z])(?:deserve|get|earn|receive|merit|warrant)s"
    r"|^\W*(?:rated|scored|graded))"
)
_FILLER = r"(?:\s+(?!\d|there\b|number\b|option\b|page\b|count\b)[^\s.,;:!?\d]+){0,7}?"
# Words of labels that name no axis of a judgement: "Dogs: 3", "Step: 2".
_COUNTS = lazy_pattern(
    r"\b(?:count|number|total|step|page|age|year|day|item|image|figure|option|part|line|row|size|amount|index|id)\b|[^s\W]s\b|数量|个数|步骤|第",
    re.IGNORECASE,
)
_NAMES_SCORE = lazy_pattern(rf"(?:\b|_){_NARROW}(?:\b|_|$)", re.IGNORECASE)
_LIMITS = lazy_pattern(r"max|min|scale|range|out_?of|total", re.IGNORECASE)
_OTHER_SCALE = lazy_pattern(
    r"\bscale\s+(?:of|from)\s+\d+\s*(?:to|through|-|–)\s*(\d+)|(?:满分|总分)(?:为|是)?\s*[:：]?\s*(\d+)", re.IGNORECASE
)
_CORRECTS = lazy_pattern(
    r"\b(?:actually|correction|revised?|no\s+wait|on\s+second\s+thoughts?|hmm|i\s+mean|changed?\s+(?:it\s+)?to|rather|disagree)\b|→|更正|应为|改为",
    re.IGNORECASE,
)
_PLAIN = lazy_pattern(r"\[\[([0-9]{1,2})\]\]|([0-9]{1,2})")
_ITEM = lazy_pattern(r"(?:\A|\n)\W*\d{1,2}[.)](?:\s+\S|\s*\n)")


def parse_score(text: str, low: int = 1, high: int = 5) -> int:
    """Returns the score that a judge gave.

    A score counts if it is the whole answer, a marker such as `[[4]]` at the start or end, a separate first or last
    line, or in a clause that states it ("Score: 4", "I'd give it a 4 since ..."). Other numbers, ranges and
    enumerations of the scale do not count.

    Raises:
        UnusableAnswer: if no score from `low` to `high` is given, or several are.
    """
    if (plain := _PLAIN.fullmatch(text)) is not None and low <= (number := int(plain[1] or plain[2])) <= high:
        return number  # most answers, in particular of judges that can write nothing else
    return _read_score(text, low, high)


def _read_score(text: str, low: int, high: int) -> int:
    answer = verdict_text(text)
    try:
        marked, score = read_markers(answer, lambda content: _content(content, high))
        if not marked:
            found = set(_json_scores(answer, high)) or set(_stated(_without_limits(answer), low, high))
            if _takes_back(answer, found, low, high):
                found = set()
            score = found.pop() if len(found) == 1 else None
    except ValueError:
        score = None
    if score is None or not low <= score <= high:
        raise UnusableAnswer(f"no score from {low} to {high} in {short(text)}")
    return score


def _takes_back(answer: str, found: set[int], low: int, high: int) -> bool:
    """Returns whether an answer corrects itself or uses another scale."""
    if any(int(one or other) != high for one, other in _OTHER_SCALE.findall(answer)):
        return True
    numbers = {int(number) for number in re.findall(r"(?<![\d.])\d(?!\d|\.\d)", _without_scale(answer, low, high))}
    named = re.findall(rf"{_NARROW}\W{{0,3}}[:：=]\W{{0,3}}(\d)(?!\d)", answer, re.IGNORECASE)
    return len(set(named)) > 1 or (_CORRECTS.search(answer) is not None and len(numbers | found) > 1)


def _content(content: str, high: int) -> int | None:
    """Returns the number in a marker, or None for a placeholder. Raises ValueError for another number."""
    text = re.sub(rf"\A{_NARROW}\s*[:=]?\s*|\s*(?:分|points?|stars?)\Z", "", content.strip(), flags=re.IGNORECASE)
    text = re.sub(rf"\s*(?:/|out\s+of)\s*{high}(?:\s*分)?\Z", "", text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if re.fullmatch(r"\d+(?:\.0+)?", text):
        digits = text.partition(".")[0].lstrip("0") or "0"
        return int(digits) if len(digits) < _DIGITS else 10**_DIGITS
    if re.search(r"\d", text):
        raise ValueError(content)
    return None


def _json_scores(text: str, high: int) -> Iterator[int]:
    """Yields the scores in an answer that is or contains a JSON object."""
    for item in _scored(_json_object(text)):
        if _may_be_score(item) and (number := _content(str(item).strip("[]【】 "), high)) is not None:
            yield number


def _json_object(text: str) -> dict[str, object]:
    """Returns the JSON object in an answer, or an empty one if there is none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _without_limits(answer: str) -> str:
    """Removes the limits of the scale from a JSON object in an answer: `"max_score": 5` states no score."""
    limits = [re.escape(json.dumps(key)) for key in _json_object(answer) if _LIMITS.search(key) is not None]
    return re.sub(rf"(?:{'|'.join(limits)})\s*:\s*[^,}}\s]+", "", answer) if limits else answer


def _scored(value: Mapping[str, object]) -> list[object]:
    """Returns the values whose keys name a score; if there are none, those whose keys name no count or limit."""
    given = [key for key in value if _LIMITS.search(key) is None]
    keys = [key for key in given if _NAMES_SCORE.search(key) is not None]
    keys = keys or [key for key in given if _COUNTS.search(key.replace("_", " ")) is None]
    return [value[key] for key in keys]


def _may_be_score(item: object) -> bool:
    if isinstance(item, str):
        return re.fullmatch(r"\D{0,3}\d+\D{0,6}\d*\D{0,3}", item) is not None
    return isinstance(item, int | float) and not isinstance(item, bool)


def _stated(answer: str, low: int, high: int) -> Iterator[int]:
    """Yields every score that the answer states."""
    text = _without_scale(answer, low, high)
    top = rf"(?:[\s*_]*(?:/|\bout\s+of\b|\bof\b)[\s*_]*{high}(?!\d))?"
    if (whole := _whole(top).fullmatch(_unwrapped(text))) is not None:
        label = whole["label"] or ""
        if _COUNTS.search(label) is None and not re.fullmatch(r"[A-Za-z]{1,2}", label):
            yield _number(whole)
        return
    for pattern in _patterns(top):
        for found in pattern.finditer(text):
            start, end = found.span("n" if found["n"] else "word")
            if not _is_item(text, start, end) and is_meant(text, start, found.end()):
                yield _number(found)
    yield from _on_own_line(text, top)


def _on_own_line(text: str, top: str) -> Iterator[int]:
    """Yields the scores that are the first or last line of an answer of several lines."""
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    if len(lines) < 2:
        return
    alone = re.compile(rf"{_MARKUP}{_N}{top}\s*(?:分|points?)?[\s*_`\"'”)\]}}）】|.。!！]*")
    for line in (lines[0], lines[-1]):
        found = alone.fullmatch(line.strip(" |\t"))
        if found is not None and not (line.rstrip().endswith((".", ")")) and _ITEM.search(text)):
            yield _number(found)


def _is_item(text: str, start: int, end: int) -> bool:
    """Returns whether a number is the number of a list item: "1. The question is clear."."""
    if re.match(r"[.)]\s+\S", text[end : end + 9]) is None:
        return False
    begins = re.search(r"(?:\A|\n)\W*\Z", text[:start]) is not None
    return begins or (text[start:end] == "1" and re.search(r"\s2[.)]\s+\S", text[end:]) is not None)


@lru_cache(maxsize=16)
def _whole(top: str) -> re.Pattern[str]:
    """The score alone, or with the name of an axis or level: "4/5", "Clarity: 4", "Level: High (4)"."""
    words = r"[^\W\d_]+(?:[ -][^\W\d_]+){0,3}"
    label = rf"(?:(?P<label>{words})[\s*_`]*(?:[:：,=(（]|\s[-–—])\s*(?:{words}\s*[(（])?)?"
    end = r"\s*(?:points?|stars?|分|点)?[\s*_`\"'”)\]}）】.。!！]*"
    return re.compile(rf"{label}{_MARKUP}{_NW}\s*{top}{end}", re.IGNORECASE)


@lru_cache(maxsize=16)
def _patterns(top: str) -> list[re.Pattern[str]]:
    stated = _STATED.replace("{top}", top)
    digits = rf"{_MARKUP}{_N}{top}{_ALONE}{_AFTER}"
    remark = r"[\s*_`\"']*(?:\([^()]*\))?[\s*_`\"']*"
    begun = (
        r"(?:\s[-–—]\s(?!\s*\d)|[:：,，;；](?!\s*\d)|\s*[(（](?!\d)|\s+(?:because|since|as|for|due)\b"
        r"|\s*分[。，：,:；]|\n)"
    )
    rubric = r"(?!.*(?:\n\W*|[,;，；]\s*|\bto\s+)\d\s*(?:[:：=(（]|\s[-–—]\s))"
    sources = [
        # "Score: 4", "**Rating** (for clarity): 4/5", "the score would be 4", "Verdict: 4"
        rf"{_NARROW}(?:\s+(?:for|of|on|given)\b{_FILLER})?{remark}{_SEPARATOR}[:：\s]*(?:an?\s+)?{stated}",
        rf"{_WIDE}{remark}{_COLON}[:：\s]*(?:an?\s+)?{stated}",
        rf"\b(?:final|my)\s+(?:answer|verdict)\s+is[:\s]*(?:an?\s+)?{stated}",
        # "# Score\n4", "| Score |\n|---|\n| 4 |"
        rf"(?:^|\n)[#\s*|]*{_NARROW}[\s*_`|]*\n[\s*_`|\-]*{stated}",
        rf"\A\W*{_NARROW}\s+of\s+{stated}",
        # "score 5", "得分4"
        rf"(?:^|[\n.;。；])\W*{_NARROW}[ \t*_`]*(?<=[\s分*_`]){stated}(?!\s*[:：])",
        # "I'd give it a 4 since ...", "it deserves a score of 4"
        rf"{_GIVES}{_FILLER}\s*(?:\s(?:an?|as|at)\s+(?:an?\s+)?|\s)?(?:a\s+(?:score|rating)\s+of\s+)?{digits}",
        # "得8分", "我给这条指令4分"
        rf"[得给打评][^\d\s，。；：,.]{{0,8}}{_NW}{top}\s*分(?![半钟之或]){_ALONE}",
        # "4 is right", "4 seems fair"
        rf"{_MARKUP}{_N}{top}\s+(?:is|seems|would\s+be)\s+(?:the\s+)?(?:{_FITS}|my\s+(?:score|rating|verdict|answer))\b",
        # "[[n]] where n is 4"
        rf"\[\[?[nx]\]\]?[^\d\n]{{0,30}}\b[nx]\s*(?:is|=)\s*{_N}{_AFTER}",
        # "5 - Very clear", "4 (clear)", "4, because ...": at the beginning, not in a list of all scores
        rf"\A{_MARKUP}{_N}{top}{_CLOSING}{begun}(?!.*\n\W*\d){rubric}",
        # "4/5", "4 out of 5 because ...": at the beginning of a line, or after a label
        rf"(?:^|[\n:：]|\boverall\b|\bsay\b){_MARKUP}{_N}\**{top.removesuffix('?')}(?!\s*\**\s*(?:of\b|/|in\b|on\b))"
        rf"(?!\s*\([^()]*\)\s*of\b){_AFTER}",
    ]
    return [re.compile(source, re.IGNORECASE | re.DOTALL) for source in sources]


def _without_scale(text: str, low: int, high: int) -> str:
    """Removes mentions of the scale: "1 to 5", "(1-5)", "on a scale of 1 to 5", 满分5分."""
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
    groups: dict[str, str | None] = found.groupdict()
    if groups.get("word"):
        return _WORDS[str(groups["word"]).lower()]
    return int(str(groups["n"]).partition(".")[0])

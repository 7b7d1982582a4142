"""Reads a judge's verdict: yes or no, or one of a few letters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from mminf.answer.clauses import is_meant
from mminf.answer.clean import any_of, listed, short, unwrap, verdict_text
from mminf.answer.markers import read_markers
from mminf.errors import UnusableAnswer
from mminf.lazy import lazy_pattern

_YES = listed("yes, true, correct, 是, 是的, 正确, 对, 对的")
_NO = listed("no, false, incorrect, not true, not correct, wrong, untrue, 否, 不, 不是, 不正确, 不对, 错误, 错, 错的")
_VERDICT_KEY = lazy_pattern(
    r"(?:final[_ ]?)?(?:answer|verdict|result|judge?ment|decision|conclusion)|(?:is[_ ]?)?(?:correct"
    r"|true)|答案|结论|判断",
    re.IGNORECASE,
)
# Next to a verdict, these keys must agree with it: {"answer": "yes", "true_in_image": false}.
_LIKE_VERDICTS = lazy_pattern(r"(?:^|_)(?:true|correct|valid|right)(?:_|$)", re.IGNORECASE)
_MARKUP = lazy_pattern(r"[*_`#>\"“”\[\](){}【】「」『』|]+|(?<!\w)['‘’]|['‘’](?!\w)")
_STOP = lazy_pattern(r"\s*(?:[,.;!，。；！—–]|[:：]|\s[-]\s|$)")
# "Correct: B" names what is correct.
_NOT_BEFORE_COLON = frozenset(listed("true, correct, wrong, false, 正确, 对, 错误, 错"))
_OWN = any_of(
    "answer, final answer, verdict, judge?ment, conclusion, result, decision, response, my answer, so, "
    "thus, therefore, hence, 答案, 结论, 结果, 回答, 判断, 因此, 所以"
)
_OTHERS = (
    r"(?<!right )(?<!correct )(?<!given )(?<!true )(?<!gold )(?<!reference )(?<!expected )(?<!正确)(?<!给出的)(?<!标准)"
)
# A clause that states the verdict.
_STATES = lazy_pattern(
    rf"(?:{_OTHERS}\b{any_of('answer, verdict, judge?ment, conclusion, result, decision, response')}\s*(?:is|:|=)"
    rf"|\bi(?:['’]d|\s+would|\s+will)?\s+(?:say|answer|conclude)(?:\s*:)?|{_OTHERS}(?:答案|结论|结果|回答|判断)\s*(?:[是为]:?|:))\s*(?:that\s+)?(?=\S)",
    re.IGNORECASE,
)
_TAIL = lazy_pattern(rf"(?:^|[^\w]){_OTHERS}{_OWN}\s*(?:is)?\s*$|\byes\s+or\s+no\s*$", re.IGNORECASE)
_HEDGES = lazy_pattern(
    r"^\W*"
    + any_of(
        "mostly, mainly, partly, partially, probably, maybe, perhaps, almost, nearly, likely, largely, "
        "for the most part, more or less, and no, and yes, 大部分, 基本"
    )
    + r"\b|\b"
    + any_of("but, however, although, though, except, apart from, unless, if, not entirely, not quite, not fully")
    + r"\b|但|不过|然而|除了|如果",
    re.IGNORECASE,
)
_DOUBT = lazy_pattern(r"\W*(?:but|though|although|however)\W+i(?:['’]m|\s+am)\s+(?:not\s+\w+|unsure|uncertain)")
_IS = r"(?:\bis|\bare|\bwas|['’]s|\ball|\beverything|\bit)\s+(?:all\s+|\w+ly\s+|quite\s+|entirely\s+)?"
_POSITIVE = lazy_pattern(
    rf"\byes\b|{_IS}{any_of('true, right, correct, accurate, valid')}\b|\b(?:it|everything"
    rf"|all)\s+(?:of\s+it\s+)?match(?:es)?\b"
    r"|^\W*(?:all\s+)?(?:true|correct)\b|(?:是|都)(?:正确|对)的|是的|(?:完全|全部|都)正确",
    re.IGNORECASE,
)
_NEGATIVE = lazy_pattern(
    rf"\b{any_of('so, thus, therefore, hence, then, but, and')}\s*[,:]?\s*no\b(?!\s+\w)|[,.;:]\s*no\s*(?:[.!]|$)"
    rf"|(?<!nothing ){_IS}{any_of('incorrect, wrong, false, untrue, inaccurate')}\b"
    rf"|(?:\bnot|n['’]t)\s+(?:\w+\s+)?{any_of('true, right, correct, accurate, valid, yes')}\b|(?<!没有)(?:是"
    rf"|都)?(?:不正确|不对|有误)",
    re.IGNORECASE,
)


def parse_verdict(text: str, answers: tuple[str, str] = ("Yes", "No")) -> bool:
    r"""Returns a judge's verdict: one of `answers`, or a word with the same meaning, in any case and markup.

    A verdict counts if it is the whole answer or its last line, if it begins the answer and punctuation follows, if it
    is in a marker (`[[Yes]]`, `\boxed{Yes}`), or if a clause states it ("The answer is no"). Words inside of sentences
    do not count: "this is not true" contains "true".

    Raises:
        UnusableAnswer: if the answer states no verdict, or both.
    """
    answer = verdict_text(text)
    words = {word: value for value, known in ((True, _YES), (False, _NO)) for word in known}
    words |= {answers[0].casefold(): True, answers[1].casefold(): False}

    def read(content: str) -> bool | None:
        return words.get(content.casefold().strip(" .。!！"))

    marked, verdict = read_markers(answer, read)
    if marked:
        said = set() if verdict is None else {verdict}
    else:
        said = {*_from_json(answer, words), *_stated(answer, words)}
    if len(said) != 1:
        raise UnusableAnswer(
            f"the judge said {'both' if said else 'neither'} of {' and '.join(answers)}: {short(text)}"
        )
    return said.pop()


def parse_letter(text: str, letters: str) -> str:
    """Returns the letter that a judge chose, as `[[A]]` or as its whole answer.

    Raises:
        UnusableAnswer: if no letter or several letters are chosen.
    """
    answer = verdict_text(text)

    def read(content: str) -> str | None:
        letter = content.strip().upper()
        return letter if len(letter) == 1 and letter in letters else None

    marked, chosen = read_markers(answer, read)
    if not marked:
        chosen = read(unwrap(answer, brackets=True).strip(" .:"))
    if chosen is None:
        raise UnusableAnswer(
            f"the judge chose none of {', '.join(f'[[{letter}]]' for letter in letters)}: {short(text)}"
        )
    return chosen


def _from_json(answer: str, words: dict[str, bool]) -> Iterator[bool]:
    start, end = answer.find("{"), answer.rfind("}")
    try:
        value = json.loads(answer[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        verdicts = any(_VERDICT_KEY.fullmatch(str(key).strip()) for key in value)
        for key, item in value.items():
            if _VERDICT_KEY.fullmatch(str(key).strip()) or (verdicts and _LIKE_VERDICTS.search(str(key))):
                if isinstance(item, bool):
                    yield item
                elif isinstance(item, str) and item.casefold().strip(" .") in words:
                    yield words[item.casefold().strip(" .")]


def _stated(answer: str, words: dict[str, bool]) -> Iterator[bool]:
    """Yields every verdict that the answer states."""
    if answer.startswith("{"):
        return
    text = " ".join(_MARKUP.sub(" ", answer).casefold().split(" "))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        return
    longest = sorted(words, key=len, reverse=True)
    leading = next((word for word in longest if lines[0].startswith(word) and _STOP.match(lines[0], len(word))), None)
    if leading is not None:
        rest = " ".join([lines[0][len(leading) :], *lines[1:]]).strip()
        if (rest[:1] in (":", "：") and leading in _NOT_BEFORE_COLON) or re.match(r"\.?\s*\d", rest):
            return  # "Correct: B", "No. 7"
        yield words[leading]
        if _is_qualified(rest, words[leading]):
            yield not words[leading]
    tail = _last_words(lines, words)
    if tail is not None:
        yield words[tail]
    yield from _in_clauses(" ".join(lines), words, longest)


def _is_qualified(rest: str, verdict: bool) -> bool:
    """Returns whether the text after a verdict weakens it or states the opposite."""
    if _HEDGES.search(rest.lstrip(" ,.;:!，。—–-")):
        return True
    return (_NEGATIVE if verdict else _POSITIVE).search(rest) is not None


def _last_words(lines: list[str], words: dict[str, bool]) -> str | None:
    """Returns the verdict in the last line, with or without a label: "Answer: yes"."""
    last = lines[-1]
    *before, tail = re.split(r"[:：]", last)
    if not before and len(lines) > 1 and lines[-2].endswith((":", "：")):
        before = [lines[-2][:-1]]  # the label is on a separate line
    tail = tail.strip().rstrip(".。!！ ").strip()
    end = len(last.rstrip(".。!！ "))
    if tail not in words or (before and not (_TAIL.search(before[-1]) and is_meant(last, end, end))):
        return None
    return tail


def _in_clauses(flat: str, words: dict[str, bool], longest: list[str]) -> Iterator[bool]:
    """Yields the verdicts that clauses state: "the answer is no"."""
    for clause in _STATES.finditer(flat):
        word = next((one for one in longest if flat.startswith(one, clause.end())), None)
        if word is None:
            continue
        end = clause.end() + len(word)
        if _DOUBT.match(flat, end) is None and _STOP.match(flat, end) and is_meant(flat, clause.start(), end):
            yield words[word]

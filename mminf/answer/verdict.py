"""Reads a judge's verdict: yes or no, or one of a few letters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from mminf.answer.clauses import is_meant
from mminf.answer.clean import any_of, final_text, listed, plain_digits, short, unfence, unwrap
from mminf.answer.markers import read_markers
from mminf.errors import AskAgain

_YES = listed("yes, true, correct, 是, 是的, 正确, 对, 对的")
_NO = listed("no, false, incorrect, not true, not correct, wrong, untrue, 否, 不, 不是, 不正确, 不对, 错误, 错, 错的")
_MARKUP = re.compile(r"[*_`#>\"'“”‘’\[\](){}【】|]+")
_STOP = re.compile(r"\s*(?:[,.;:!，。；：！—–]|\s[-]\s|$)")
_TRUE = any_of("yes, true, correct, right, accurate, valid")
# A clause that states the verdict.
_STATES = re.compile(
    rf"(?:\b{any_of('answer, verdict, judge?ment, conclusion, result, decision, response')}\s*(?:is|would\s+be|:|=)"
    r"|\bi(?:['’]d|\s+would|\s+will)?\s+(?:say|answer|conclude)(?:\s*:)?"
    r"|(?:答案|结论|结果|回答|判断)\s*(?:是|为|:))\s*(?:that\s+)?(?=\S)",
    re.IGNORECASE,
)
_POSITIVE = re.compile(
    rf"(?<!not )(?<!n't )(?<!n’t )(?<!not entirely )(?<!not quite )\b{_TRUE}\b|(?<![不非没])(?:正确|属实)",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(
    rf"\b{any_of('so, thus, therefore, hence, then, but, and')}\s*[,:]?\s*no\b(?!\s+\w)|[,.;:]\s*no\s*(?:[.!]|$)"
    rf"|\b{any_of('incorrect, wrong, false, untrue, inaccurate')}\b|(?:\bnot|n['’]t)\s+(?:\w+\s+)?{_TRUE}\b"
    r"|不正确|不对|错误|有误",
    re.IGNORECASE,
)


def parse_verdict(text: str, answers: tuple[str, str] = ("Yes", "No")) -> bool:
    r"""Returns what a judge said: `answers`, or words that mean the same; case and markup aside.

    A verdict counts where it is the whole answer or its last line, begins the answer with a stop after it, is in a
    marker (`[[Yes]]`, `\boxed{Yes}`), or in a clause that states it ("The answer is no"). Words inside of sentences
    don't count: "this is not true" has a "true" in it.

    Raises:
        AskAgain: if no verdict is said, or both are.
    """
    answer = plain_digits(unfence(final_text(text)))
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
        raise AskAgain(f"the judge said {'both' if said else 'neither'} of {' and '.join(answers)}: {short(text)}")
    return said.pop()


def parse_letter(text: str, letters: str) -> str:
    """Returns the letter that a judge chose with `[[A]]`, or by itself.

    Raises:
        AskAgain: if none is chosen, or several are.
    """
    answer = plain_digits(unfence(final_text(text)))

    def read(content: str) -> str | None:
        letter = content.strip().upper()
        return letter if len(letter) == 1 and letter in letters else None

    marked, chosen = read_markers(answer, read)
    if not marked:
        chosen = read(unwrap(answer, brackets=True).strip(" .:"))
    if chosen is None:
        raise AskAgain(f"the judge chose none of {', '.join(f'[[{letter}]]' for letter in letters)}: {short(text)}")
    return chosen


def _from_json(answer: str, words: dict[str, bool]) -> Iterator[bool]:
    start, end = answer.find("{"), answer.rfind("}")
    try:
        value = json.loads(answer[start : end + 1]) if 0 <= start < end else None
    except ValueError:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if re.search(r"answer|verdict|result|judge|correct|true|答案|结论", str(key), re.IGNORECASE):
                if isinstance(item, bool):
                    yield item
                elif isinstance(item, str) and item.casefold().strip(" .") in words:
                    yield words[item.casefold().strip(" .")]


def _stated(answer: str, words: dict[str, bool]) -> Iterator[bool]:
    """Every verdict that the answer states."""
    text = " ".join(_MARKUP.sub(" ", answer).casefold().split(" "))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        return
    first, last = lines[0], lines[-1]
    longest = sorted(words, key=len, reverse=True)
    leading = next((word for word in longest if first.startswith(word) and _STOP.match(first, len(word))), None)
    if leading is not None:
        yield words[leading]
        rest = " ".join([first[len(leading) :], *lines[1:]])
        yield from _contradictions(rest, said=words[leading])
    tail = re.split(r"[:：]", last)[-1].strip().rstrip(".。!！ ").strip()
    if tail in words:
        yield words[tail]
    flat = " ".join(lines)
    for clause in _STATES.finditer(flat):
        word = next((one for one in longest if flat.startswith(one, clause.end())), None)
        if (
            word is not None
            and _STOP.match(flat, clause.end() + len(word))
            and is_meant(flat, clause.start(), clause.end())
        ):
            yield words[word]


def _contradictions(rest: str, *, said: bool) -> Iterator[bool]:
    """The other verdict, if what follows a verdict takes it back."""
    if (_NEGATIVE if said else _POSITIVE).search(rest):
        yield not said

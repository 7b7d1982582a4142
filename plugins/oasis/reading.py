"""Reads a classifier's answer: the instruction in a sampled text, or that there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from mminf.step import (
    UnusableAnswer,
    coverage,
    final_text,
    is_placeholder,
    is_quoted,
    lazy_pattern,
    parse_json,
    short,
    skipped_words,
    strange_words,
    unfence,
    unwrap,
)

from .extent import cut, drop_stray, has_sentence, tidy

GROUNDED = 0.75
"""Share of an instruction's words that must be in the sampled text."""
_SKIPPED = 3
"""Largest allowed gap in a sentence, in words; with a larger gap, the instruction asks for something else."""
LONGEST = 20_000
"""Maximum number of characters of an answer."""
_ENDED = lazy_pattern(r"<\|(?:im_end|endoftext|eot_id|end)\|>|</s>", re.IGNORECASE)
"""End tokens; some models continue after them."""
_BLANKS = lazy_pattern(r"\n(?:[^\S\n]*\n){2,}")
_KEY = lazy_pattern(r"[\"'](?:instruction|指令|指示)[\"']\s*:", re.IGNORECASE)
_MARKUP = r"[ \t>#*_`\"'“”\-•·]*"
_NOUN = r"(?:instruction|指令|指示)"
_HEAD = lazy_pattern(
    rf"^{_MARKUP}(?:\d{{1,2}}[.)]\s*)?(?:(?:answer|output|result|response|答案|回答|输出)[\s*_]*[:：]{_MARKUP})?"
    rf"(?:here\s+is\s+|this\s+is\s+)?(?:the\s+|an\s+|your\s+|my\s+)?(?:(?:extracted|original|first|only|main|final|full|copied|提取的|该|原始)\s*)*"
    rf"{_NOUN}(?:\s+(?:found|extracted|in\s+the\s+text))?(?:\s*\d{{1,2}})?(?:\s*\([^()\n]{{1,40}}\))?(?:\s+is)?[\s*_`\"']*"
    r"(?:[:：]|为[:：]?|是[:：]|\s[-–—]\s)[*_`]*",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = lazy_pattern(rf"^[ \t]*#{{1,6}}[ \t]*(?:extracted\s+)?{_NOUN}[ \t]*$", re.IGNORECASE | re.MULTILINE)
# The verdict that there is none: alone in its line, or with a remark after it.
_NO_INST = r"NO[_ -]?INST(?:RUCTIONS?)?"
_SAID = r"[*_`\"'“”\])）】]*(?=[ \t]*(?:$|[^\x00-\x7f\w]|[.,:;!(]|[-–—]|because\b|since\b|as\b|因为))"
_NONE = lazy_pattern(
    rf"^{_MARKUP}[\[(（【]*(?:(?:answer|output|result|答案|回答|输出)[ \t*_]*[:：][ \t]*{_MARKUP})?"
    rf"\b{_NO_INST}\b{_SAID}",
    re.IGNORECASE | re.MULTILINE,
)
_NONE_VALUE = lazy_pattern(rf"{_MARKUP}\[?{_NO_INST}\b{_SAID}", re.IGNORECASE | re.MULTILINE)
# The same at the end of the answer: "The text only describes, so the answer is NO_INST."
_ENDS_WITH_NONE = lazy_pattern(
    rf"(?:[.!。:：]|->|→|\b(?:is|answer|therefore|so|thus|hence)\b|是|为)[\s*_`\"'“\[]{{0,5}}{_NO_INST}[\s*_`\"'”\].。!]*\Z",
    re.IGNORECASE,
)
# Words that retract the verdict.
_DENIED = lazy_pattern(
    r"\b(?:not|no\s+wait|if|write|say|cannot|can['’]?t|isn['’]t|were|or\s+instruction)\b|不是|不适用|如果|只写",
    re.IGNORECASE,
)
_NO_WORDS = frozenset(
    ["none", "nothing", "no instruction", "no instructions", "no inst", "no_inst", "no-inst", "there is no instruction",
     "there is none", "not applicable", "not an instruction", "no instruction found", "caption", "a caption",
     "无", "没有", "没有指令", "无指令", "不包含指令", "没有任何指令"]
)  # fmt: skip
_N_A = frozenset({"n/a", "na", "null", "nil"})
_NEXT = lazy_pattern(
    r"^[ \t]*(?:example[ \t]+\d+|\[begin of text\]|(?:next )?text[ \t]*:|input[ \t]*:|now the text\b)",
    re.IGNORECASE | re.MULTILINE,
)


class Echo(UnusableAnswer):
    """The answer repeats a part of the prompt; the actual answer may follow."""


class Reading(NamedTuple):
    """What a classifier's answer says.

    Attributes:
        instruction: None if the answer says that there is none.
        ended: the answer continues after the instruction, so the instruction is not truncated.
    """

    instruction: str | None
    ended: bool


def parse_instruction(text: str, sampled: str | None = None, examples: Sequence[str] = ()) -> str | None:
    """Returns the instruction in a classifier's answer, or None if it says that there is none; see `read_answer`."""
    return read_answer(text, sampled, examples).instruction


def read_answer(text: str, sampled: str | None = None, examples: Sequence[str] = ()) -> Reading:
    """Reads a classifier's answer.

    Args:
        sampled: the text that was classified. All words of the instruction, except function words, must be in it. This
            excludes paraphrases and copies of the prompt. None: not checked.
        examples: the instructions of the prompt's own examples.

    Raises:
        UnusableAnswer: if the answer says neither, or contradicts itself.
    """
    answer = _without_frame(text)
    none = _find_none(answer)
    refused: UnusableAnswer | None = None
    for head, end in _find_heads(answer):
        try:
            found = _read_value(answer[head.end() : end], sampled, examples)
        except UnusableAnswer as error:
            if none is not None and none.start() < head.start():
                break  # said before; what follows is a remark, or another example
            if not isinstance(error, Echo):
                raise
            refused = refused or error
            continue
        if found.instruction is None:
            return found
        if none is not None and none.start() < _end_of_text(answer, head, end):
            raise UnusableAnswer(f"the classifier named an instruction and said NO_INST: {short(text)}")
        return found if end == len(answer) else found._replace(ended=True)
    if none is not None or (refused is None and _says_none(answer)):
        return Reading(None, ended=True)
    raise refused or UnusableAnswer(f"the classifier named no instruction and did not say NO_INST: {short(text)}")


def before_verdict(text: str) -> str:
    """Returns what an answer says before it first says NO_INST, or all of it."""
    return re.split(_NO_INST, final_text(text), maxsplit=1, flags=re.IGNORECASE)[0]


def _without_frame(text: str) -> str:
    """Returns an answer without reasoning, fences, end tokens and JSON. Raises UnusableAnswer if it is too long."""
    answer = unfence(_ENDED.split(final_text(text), maxsplit=1)[0])
    if len(answer) > LONGEST:
        raise UnusableAnswer(f"the classifier's answer has {len(answer):,} characters: {short(answer)}")
    answer = _BLANKS.sub("\n\n", answer)
    named = _from_json(answer)
    return answer if named is None else f"Instruction: {named}"


def _find_none(answer: str) -> re.Match[str] | None:
    """Returns where an answer says NO_INST, if it does and does not retract it."""
    return next((found for found in _NONE.finditer(answer) if not _is_denied(answer, found)), None)


def _find_heads(answer: str) -> list[tuple[re.Match[str], int]]:
    """Returns the labels of instructions in an answer, each with the end of what it labels."""
    heads = sorted([*_HEAD.finditer(answer), *_HEADING.finditer(answer)], key=lambda head: head.start())
    ends = [*(head.start() for head in heads), len(answer)][1:]
    return list(zip(heads, ends, strict=True))


def _end_of_text(answer: str, head: re.Match[str], end: int) -> int:
    """Returns where what the classifier says of its text ends: before the next text, which some models invent."""
    following = _NEXT.search(answer, head.end())
    return end if following is None else following.start()


def _is_denied(answer: str, found: re.Match[str]) -> bool:
    """Returns whether the rest of the line retracts NO_INST: "NO_INST, no wait"."""
    return _DENIED.search(answer[found.end() :].partition("\n")[0][:40]) is not None


def _says_none(answer: str) -> bool:
    """Returns whether an answer without a label says that there is no instruction, as a whole or at its end."""
    if unwrap(answer, brackets=True).casefold().strip(" .。!") in _NO_WORDS:
        return True
    ends = _ENDS_WITH_NONE.search(answer)
    if ends is None:
        return False
    before = re.split(r"[.!?。！？\n]", answer[: ends.start()])[-1]
    return ends[0][0] in ".!。" or _DENIED.search(before + ends[0]) is None


def instructions_in(template: str) -> tuple[str, ...]:
    """Returns the instructions of the examples in a classifier's prompt."""
    found = re.findall(r"^Instruction:[ \t]*(.+?)(?=\n\s*\n|\Z)", template, re.DOTALL | re.MULTILINE)
    return tuple(text.strip() for text in found)


def _from_json(answer: str) -> str | None:
    """The instruction in a JSON object of the answer."""
    start, end = answer.find("{"), answer.rfind("}")
    if not 0 <= start < end or _KEY.search(answer) is None:
        return None
    try:
        value = parse_json(answer[start : end + 1])
    except UnusableAnswer:
        return None
    if not isinstance(value, dict):
        return None
    found = next((item for key, item in value.items() if re.fullmatch(_NOUN, str(key).strip(), re.IGNORECASE)), "")
    return "NO_INST" if found is None else found if isinstance(found, str) and found else None


def _read_value(rest: str, sampled: str | None, examples: Sequence[str]) -> Reading:
    source = sampled or ""
    value, ended = cut(rest, source)
    value = tidy(value, source)
    if _NONE_VALUE.match(rest.strip()) is not None or value.casefold().strip(" .。!") in _NO_WORDS:
        return Reading(None, ended=True)
    if not value or value.casefold() in _N_A or (is_placeholder(value) and not has_sentence(source, value)):
        raise Echo(f"the classifier wrote {short(rest.strip())} instead of an instruction")
    if sampled is None:
        return Reading(value, ended)
    if _words(value) in _words_of(tuple(examples)) and coverage(value, sampled) < 1:
        raise Echo(f"the classifier repeated an example of the prompt: {short(value)}")
    kept = drop_stray(value, sampled)
    if not is_quoted(kept, sampled) and not _is_grounded(kept, sampled):
        raise UnusableAnswer(f"the instruction is not in the sampled text: {short(kept)}")
    return Reading(kept, ended or kept != value)


def _is_grounded(value: str, sampled: str) -> bool:
    """Returns whether the words of an instruction are in the sampled text, without large gaps."""
    if strange_words(value, sampled) or coverage(value, sampled) < GROUNDED:
        return False
    return skipped_words(value, sampled) <= _SKIPPED


def _words(text: str) -> str:
    """Returns a text without case and punctuation."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


@lru_cache(maxsize=16)
def _words_of(examples: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_words, examples))

"""Reads what a classifier writes: the instruction that it found in a sampled text, or that there is none."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from mminf.answer.clean import any_of, final_text, listed, short, unfence, unwrap
from mminf.answer.ground import UNSPACED, coverage, skipped_words
from mminf.answer.placeholder import is_placeholder
from mminf.errors import AskAgain

GROUNDED = 0.75
"""Share of an instruction's words that must be in the text that it was taken out of."""
_SKIPPED = 3
"""Words of a sentence that may be left out between words that are taken; more, and it asks for something else."""
_STRAY = 0.5
"""A last sentence with fewer words of the text is the classifier's own."""
_MARKUP = r"[\s>#*_`\"'“”\-•·]*"
_NOUN = r"(?:instruction|指令|指示)"
_HEAD = re.compile(
    rf"^{_MARKUP}(?:\d{{1,2}}[.)]\s*)?(?:(?:answer|output|result|response|答案|回答|输出)[\s*_]*[:：]{_MARKUP})?"
    rf"(?:here\s+is\s+|this\s+is\s+)?(?:the\s+|an\s+|your\s+|my\s+)?(?:(?:extracted|original|first|only|main|final|full|copied|提取的|该|原始)\s*)*"
    rf"{_NOUN}(?:\s+(?:found|extracted|in\s+the\s+text))?(?:\s*\d{{1,2}})?(?:\s*\([^()\n]{{1,40}}\))?(?:\s+is)?[\s*_`\"']*"
    r"(?:[:：]|为[:：]?|是[:：]|\s[-–—]\s)[*_`]*",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(rf"^\s*#{{1,6}}\s*(?:extracted\s+)?{_NOUN}\s*$", re.IGNORECASE | re.MULTILINE)
# The verdict that there is none: alone in its line, or with a remark behind it.
_NONE = re.compile(
    rf"^{_MARKUP}[\[(（【]*(?:(?:answer|output|result|答案|回答|输出)[\s*_]*[:：]\s*{_MARKUP})?\bNO[_\s-]?INST(?:RUCTIONS?)?\b"
    rf"(?![ \t\w]*\b(?:is|was|would|means|applies|because\s+it\s+is\s+not)\b)",
    re.IGNORECASE | re.MULTILINE,
)
# The same at the end of the answer: "The text only describes, so the answer is NO_INST."
_ENDS_WITH_NONE = re.compile(
    r"(?:[.!。:：]|->|→|\b(?:is|answer|therefore|so|thus|hence)\b|是|为)[\s*_`\"'“\[]*NO[_\s-]?INST(?:RUCTIONS?)?"
    r"[\s*_`\"'”\].。!]*\Z",
    re.IGNORECASE,
)
_NO_WORDS = frozenset(
    listed(
        "none, nothing, no instruction, no instructions, no inst, no_inst, no-inst, there is no "
        "instruction, there is none, "
        "not applicable, not an instruction, no instruction found, caption, a caption, 无, 没有, 没有指令, 无指令, "
        "不包含指令, "
        "没有任何指令"
    )
)
_N_A = frozenset({"n/a", "na", "null", "nil"})
# What a line begins with that is no longer the instruction.
_LABELS = any_of(
    "(?:(?:correct|sample|suggested|expected) )?(?:answer|response|reply|solution|output)s?, "
    "explanation, reason(?:ing)?, "
    "rationale, notes?, remark, analysis, justification, comment, context, 答案, 回答, 解释, 说明, 注意?, 理由, 分析, "
    "备注"
)
_REMARKS = any_of(
    r"(?:the )?(?:(?:correct|right) )?answer (?:is|would be)\b, note that\b, \(?note\b, 正确答案, "
    r"\[?(?:begin|end) of text\]?, text\s*[:：], example \d+\s*$, now the text\b, "
    r"i (?:have|left|copied|extracted|removed|took)\b"
)
_ABOUT = any_of("instruction, text, question, extracted, caption, answer")
_AFTER = re.compile(
    rf"^[\s>*_`(（\[-]*(?:{_LABELS}\s*[*_]*\s*[:：]|{_REMARKS}"
    rf"|(?:this|the\s+(?:text|rest|instruction))\s+(?:is|was|contains|asks|only|above)\b.{{0,60}}\b{_ABOUT})"
    r"|^\s*(?:-{3,}|\*{3,}|={3,})\s*$|^\s*#{1,6}\s",
    re.IGNORECASE,
)
_INLINE_ANSWER = re.compile(
    r"(?<=[?？.。!！:：])\s*[(\[*_]*(?:correct\s+)?(?:answer|response|答案|回答)\s*[*_]*\s*[:：].*\Z",
    re.IGNORECASE | re.DOTALL,
)
_OPTION = re.compile(r"^\s*(?:[-*•]\s*)?[(\[（]?(?:[A-Ja-j]|[1-9]\d?|[ivxIVX]{1,4}|[①-⑳])\s*[.)\]、:：）]\s*\S")
# A statement after a question answers it, unless it asks for something itself.
_ASKS = re.compile(
    r"^\W*(?:"
    + any_of(
        "please, answer, explain, give, write, describe, list, name, choose, select, pick, use, provide, "
        "show, state, say, "
        "tell, compare, consider, assume, suppose, imagine, if, note, hint, options?, choices?, include, "
        "make, create, draw, "
        "identify, find, calculate, compute, estimate, justify, support, respond, return, output, "
        "format, keep, do, don['’]t, "
        "be, think, look, take, translate, convert, rewrite, complete, fill, sort, order, rank, rate, "
        "count, summari[sz]e, "
        "point, mention, and, or, also, then, in english, in chinese, in one, in two, in a, with, "
        "without, the options are, "
        "the choices are"
    )
    + r"\b|[请并]|解释|说明|给出|列出|描述|选择|用|如果|假设|选项|写|回答|根据)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(rf"(?<=[?？!！。])(?!\s*[\"'”’)）\]])\s*|(?<=[.])\s+(?=[A-Z\d\"'“(\[{UNSPACED}])")
_TRAILING = frozenset({"So", "Sk", "Cf", "Cn", "Co", "Mn"})


class Echo(AskAgain):
    """What an answer names is the prompt's own; what comes after it may be the answer."""


class Reading(NamedTuple):
    """What a classifier's answer says.

    Attributes:
        instruction: as it is in the sampled text; None if the answer says that there is none.
        ended: something came after the instruction, so it was not cut off with the answer.
    """

    instruction: str | None
    ended: bool


def parse_instruction(text: str, sampled: str | None = None, examples: Sequence[str] = ()) -> str | None:
    """Returns the instruction that a classifier names, or None where it says that there is none; see `read_answer`."""
    return read_answer(text, sampled, examples).instruction


def read_answer(text: str, sampled: str | None = None, examples: Sequence[str] = ()) -> Reading:
    """Reads a classifier's answer.

    Args:
        sampled: the text that was classified. The instruction must be grounded in it: three of four words are there.
            That keeps out echoes of the prompt, paraphrases, and answers after the instruction. None: not checked.
        examples: the instructions of the prompt's own examples.

    Raises:
        AskAgain: if the answer says neither, or contradicts itself.
    """
    answer = unfence(final_text(text))
    if (named := _from_json(answer)) is not None:
        answer = f"Instruction: {named}"
    none = _NONE.search(answer)
    heads = sorted([*_HEAD.finditer(answer), *_HEADING.finditer(answer)], key=lambda head: head.start())
    refused: AskAgain | None = None
    for number, head in enumerate(heads):
        end = heads[number + 1].start() if number + 1 < len(heads) else len(answer)
        try:
            found = _read_value(answer[head.end() : end], sampled, examples)
        except AskAgain as error:
            if none is not None and none.start() < head.start():
                break  # said before; what follows is a remark, or another example
            if not isinstance(error, Echo):
                raise
            refused = refused or error
            continue
        if found.instruction is None:
            return found
        if none is not None and (none.start() < head.start() or none.start() < end):
            raise AskAgain(f"the classifier named an instruction and said NO_INST: {short(text)}")
        return found if end == len(answer) else found._replace(ended=True)
    if none is not None or (refused is None and _ENDS_WITH_NONE.search(answer)):
        return Reading(None, ended=True)
    if unwrap(answer, brackets=True).casefold().strip(" .。!") in _NO_WORDS:
        return Reading(None, ended=True)
    raise refused or AskAgain(f"the classifier named no instruction and did not say NO_INST: {short(text)}")


def instructions_in(template: str) -> tuple[str, ...]:
    """Returns the instructions of the examples in a classifier's prompt."""
    found = re.findall(r"^Instruction:[ \t]*(.+?)(?=\n\s*\n|\Z)", template, re.DOTALL | re.MULTILINE)
    return tuple(text.strip() for text in found)


def _from_json(answer: str) -> str | None:
    """The instruction in an answer that is a JSON object."""
    if not answer.startswith("{") or not answer.endswith("}"):
        return None
    try:
        value = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    found = next((item for key, item in value.items() if re.fullmatch(_NOUN, str(key).strip(), re.IGNORECASE)), "")
    return "NO_INST" if found is None else found if isinstance(found, str) and found else None


def _read_value(rest: str, sampled: str | None, examples: Sequence[str]) -> Reading:
    if _NONE.match(rest.lstrip(" \n")) is not None:
        return Reading(None, ended=True)
    value, ended = _cut(rest)
    value = _tidy(value, sampled)
    if value.casefold().strip(" .。!") in _NO_WORDS:
        return Reading(None, ended=True)
    if not value or value.casefold() in _N_A or is_placeholder(value):
        raise Echo(f"the classifier named no instruction, but {short(rest.strip())}")
    if sampled is None:
        return Reading(value, ended)
    if any(_same(value, example) for example in examples) and coverage(value, sampled) < 1:
        raise Echo(f"the classifier repeated an example of the prompt: {short(value)}")
    kept = _drop_stray(value, sampled)
    if coverage(kept, sampled) < GROUNDED or skipped_words(kept, sampled) > _SKIPPED:
        raise AskAgain(f"the instruction is not in the sampled text: {short(kept)}")
    return Reading(kept, ended or kept != value)


def _cut(rest: str) -> tuple[str, bool]:
    """Ends an instruction where something else begins: an answer, a note, the next example."""
    kept: list[str] = []
    fenced = False
    lines = rest.strip("\n").splitlines()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            if not kept and not line.strip("` \n"):
                continue  # a fence around the instruction
            fenced = not fenced
        elif not fenced and kept and (_AFTER.match(line) or _answers(kept, line, lines[number + 1 :])):
            return "\n".join(kept), True
        kept.append(line)
    text = "\n".join(kept)
    if text.count("```") % 2:
        text = text.rstrip().removesuffix("```")
    shorter = _INLINE_ANSWER.sub("", text)
    return shorter, shorter != text


def _answers(kept: list[str], line: str, later: list[str]) -> bool:
    """Tells whether a line after a question, or after its options, states something, and so answers it."""
    said = [one for one in kept if one.strip()]
    if not line.strip() or _OPTION.match(line) or line.rstrip().endswith(("?", "？", ":", "：")) or _ASKS.match(line):
        return False
    asked = said[-1].rstrip(" *_\"'”’)").endswith(("?", "？"))
    options = len(said) > 2 and _OPTION.match(said[-1]) is not None and _OPTION.match(said[-2]) is not None
    return (asked or options) and not any(_OPTION.match(one) for one in later[:2])


def _tidy(value: str, sampled: str | None) -> str:
    text = (
        value.strip().lstrip("*_` ").strip()
        if value.strip()[:2] in ("**", "__") and value.count("**") == 1
        else value.strip()
    )
    text = unwrap(text)
    if text.startswith("[") and text.endswith("]") and text.count("[") == 1:
        text = text[1:-1].strip()  # the brackets of a form
    if text.strip("*_` ") == "":
        return ""
    source = sampled or ""
    while text and unicodedata.category(text[-1]) in _TRAILING and text[-1] not in source:
        text = text[:-1].rstrip()
    return text


def _drop_stray(value: str, sampled: str) -> str:
    """Leaves out last sentences that the sampled text does not have, and an answer in the line of its question."""
    if "```" in value:
        return value
    pieces = [piece for piece in _pieces(value) if piece.strip()]
    asked = [number for number, piece in enumerate(pieces) if piece.rstrip(" *_\"'”’").endswith(("?", "？"))]
    if asked and not any(_OPTION.match(piece) for piece in pieces):
        last = asked[-1] + 1
        while last < len(pieces) and _ASKS.match(pieces[last]):
            last += 1
        pieces = pieces[:last]
    while len(pieces) > 1 and coverage(pieces[-1], sampled) < _STRAY:
        pieces.pop()
    kept = "".join(pieces)
    return kept.strip() if kept.strip() else value


def _pieces(value: str) -> list[str]:
    """The sentences and lines of a text, with the white space after each."""
    found: list[str] = []
    for line in value.splitlines(keepends=True):
        start = 0
        for gap in _SENTENCE.finditer(line):
            if gap.end() > start:
                found.append(line[start : gap.end()])
                start = gap.end()
        if start < len(line):
            found.append(line[start:])
    return found


def _same(one: str, other: str) -> bool:
    def plain(text: str) -> str:
        return re.sub(r"[\W_]+", " ", text.casefold()).strip()

    return plain(one) == plain(other)

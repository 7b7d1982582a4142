"""Reads what a classifier writes: the instruction that it found in a sampled text, or that there is none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from mminf.answer.clean import any_of, final_text, listed, short, unfence, unwrap
from mminf.answer.ground import UNSPACED, coverage, skipped_words, strange_words
from mminf.answer.placeholder import is_placeholder
from mminf.errors import AskAgain
from mminf.step.parse import parse_json

GROUNDED = 0.75
"""Share of an instruction's words that must be in the text that it was taken out of."""
_SKIPPED = 3
"""Words of a sentence that may be left out between words that are taken; more, and it asks for something else."""
LONGEST = 20_000
"""Characters of an answer that is read."""
_ENDED = re.compile(r"<\|(?:im_end|endoftext|eot_id|end)\|>|</s>", re.IGNORECASE)
"""What a model goes on behind after it ended its answer."""
_BLANKS = re.compile(r"\n(?:[^\S\n]*\n){2,}")
_KEY = re.compile(r"[\"'](?:instruction|指令|指示)[\"']\s*:", re.IGNORECASE)
_LIST_MARK = re.compile(r"^(?:[>\-*•]|\d{1,2}[.)])\s+")
_STRAY = 0.5
"""A last sentence with fewer words of the text is the classifier's own."""
_MARKUP = r"[ \t>#*_`\"'“”\-•·]*"
_NOUN = r"(?:instruction|指令|指示)"
_HEAD = re.compile(
    rf"^{_MARKUP}(?:\d{{1,2}}[.)]\s*)?(?:(?:answer|output|result|response|答案|回答|输出)[\s*_]*[:：]{_MARKUP})?"
    rf"(?:here\s+is\s+|this\s+is\s+)?(?:the\s+|an\s+|your\s+|my\s+)?(?:(?:extracted|original|first|only|main|final|full|copied|提取的|该|原始)\s*)*"
    rf"{_NOUN}(?:\s+(?:found|extracted|in\s+the\s+text))?(?:\s*\d{{1,2}})?(?:\s*\([^()\n]{{1,40}}\))?(?:\s+is)?[\s*_`\"']*"
    r"(?:[:：]|为[:：]?|是[:：]|\s[-–—]\s)[*_`]*",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(rf"^[ \t]*#{{1,6}}[ \t]*(?:extracted\s+)?{_NOUN}[ \t]*$", re.IGNORECASE | re.MULTILINE)
# The verdict that there is none: alone in its line, or with a remark after it.
_NO_INST = r"NO[_ -]?INST(?:RUCTIONS?)?"
_SAID = r"[*_`\"'“”\])）】]*(?=[ \t]*(?:$|[^\x00-\x7f\w]|[.,:;!(]|[-–—]|because\b|since\b|as\b|因为))"
_NONE = re.compile(
    rf"^{_MARKUP}[\[(（【]*(?:(?:answer|output|result|答案|回答|输出)[ \t*_]*[:：][ \t]*{_MARKUP})?"
    rf"\b{_NO_INST}\b{_SAID}",
    re.IGNORECASE | re.MULTILINE,
)
_NONE_VALUE = re.compile(rf"{_MARKUP}\[?{_NO_INST}\b{_SAID}", re.IGNORECASE | re.MULTILINE)
# The same at the end of the answer: "The text only describes, so the answer is NO_INST."
_ENDS_WITH_NONE = re.compile(
    rf"(?:[.!。:：]|->|→|\b(?:is|answer|therefore|so|thus|hence)\b|是|为)[\s*_`\"'“\[]{{0,5}}{_NO_INST}[\s*_`\"'”\].。!]*\Z",
    re.IGNORECASE,
)
# What says of the verdict that it is not meant.
_DENIED = re.compile(
    r"\b(?:not|no\s+wait|if|write|say|cannot|can['’]?t|isn['’]t|were|or\s+instruction)\b|不是|不适用|如果|只写",
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
_ANSWERS = any_of(
    "(?:(?:correct|sample|suggested|expected) )?(?:answer|response|reply|solution|output)s?, "
    "explanation, reason(?:ing)?, "
    "rationale, analysis, justification, description, caption, translation, summary, assistant, 答案, 回答, "
    "解释, 理由, 分析, 描述, 翻译, 译文, 答案是, "
    "ans\\.?, antwort, réponse, respuesta, risposta, ответ, 答え, 답"
)
_LABELS = any_of("notes?, remark, comment, context, 说明, 注意?, 备注")
_REMARKS = any_of(
    r"(?:the )?(?:(?:correct|right) )?answer (?:is|would be)\b, answer [a-d]\b, option [a-d] is\b, 正确答案, sure[,!]"
)
_OWN_REMARKS = any_of(
    r"note that\b, \(?note\b, \[?(?:begin|end) of text\]?, text\s*[:：], next text\b, input\s*[:：], "
    r"example \d+\s*:?\s*$, "
    r"now the text\b, i (?:have|left|copied|extracted|removed|took)\b, <\|im_end\|>, <\|im_start\|>, <\|eot_id\|>"
)
_ABOUT = any_of("instruction, text, question, extracted, caption, answer")
_IS_ANSWER = re.compile(rf"^[ \t>*_`(（\[-]*(?:{_ANSWERS}[ \t*_]*[:：]|{_REMARKS})", re.IGNORECASE)
# The classifier's own words, unless the sampled text has that line.
_IS_REMARK = re.compile(
    rf"^[ \t>*_`(（\[-]*(?:{_LABELS}[ \t*_]*[:：]|{_OWN_REMARKS}"
    rf"|(?:this|the[ \t]+(?:text|rest|instruction))[ \t]+(?:is|was|contains|asks|only|above|then)\b.{{0,60}}\b{_ABOUT})"
    r"|^[ \t]*(?:-{3,}|\*{3,}|={3,}|\"{3})[ \t]*$|^[ \t]*#{1,6}[ \t]|^[ \t]*\(.*\)[ \t]*$",
    re.IGNORECASE,
)
_NEXT = re.compile(
    r"^[ \t]*(?:example[ \t]+\d+|\[begin of text\]|(?:next )?text[ \t]*:|input[ \t]*:|now the text\b)",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE_END = re.compile(r"\[End of Text\]", re.IGNORECASE)
_INLINE_ANSWER = re.compile(
    r"(?<=[?？.。!！:：])[ \t]*[(\[*_]*(?:(?:correct[ \t]+)?(?:answer|response|答案|回答)[ \t]*[*_]*[ \t]*[:：]"
    r"|A[:：](?!.*\bB[:：.)])).*\Z",
    re.IGNORECASE | re.DOTALL,
)
_OPTION = re.compile(
    r"^[ \t]*(?:[-*•][ \t]*)?(?:\*\*)?[(\[（]?(?:[A-Ja-j]|[1-9]\d?|[ivxIVX]{1,4}|[①-⑳])(?:[ "
    r"\t]*[.)\]、:：）．]|[ \t]+[-–])(?:\*\*)?[ \t]*\S"
)
_BULLET = re.compile(r"^[ \t]*[-*•][ \t]+\S")
_INLINE_OPTIONS = re.compile(r"(?:^|[\s(（？?])A[ \t]*[.)、:：）．].*?[\s(（]B[ \t]*[.)、:：）．]", re.DOTALL)
# How a statement begins that answers the question before it.
_STATES = re.compile(
    r"^\W*(?:(?:"
    + any_of(
        "the, it, it['’]s, its, there, this, that, these, those, he, she, they, we, a, an, in the, on "
        "the, at the, yes, no, because, based on, "
        "according to, one, two, three, four, five, six, seven, eight, nine, ten, \\d+, most, some, both, all, none, "
        "es, ein, eine, der, die, das, ja, nein, oui, non, il y a, c['’]est, un, une, el, la, los, las, hay, sí"
    )
    + r")\b(?!\s+or\s+no\b)|i\s+(?!want|need|would)\w|[有是这那它他她]|因为|图中|图片|画面|答)",
    re.IGNORECASE,
)
_CODE = re.compile(r"[=(){};]|^\s*[!-~]*[^.!\s\W]\s*$", re.ASCII)
# Between sentences: after a question mark only where another sentence begins.
_SENTENCE = re.compile(
    rf"(?<=[?])(?=\s+[A-Z¿¡\"'“(]|\s*[{UNSPACED}])\s*|(?<=[？!！。؟])(?!\s*[\"'”’)）\]])\s*|(?<=[^\s][^A-Z\s]\.)\s+(?=[A-Z\d\"'“(\[{UNSPACED}])"
)
_PREFIX = re.compile(r"^(?:the\s+(?:text|user)\s+asks|question|q|问题|问)\s*[:：]\s*", re.IGNORECASE)
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
        sampled: the text that was classified. The instruction must be grounded in it: three of four words are there,
            and all that say something. That keeps out echoes of the prompt and paraphrases. None: not checked.
        examples: the instructions of the prompt's own examples.

    Raises:
        AskAgain: if the answer says neither, or contradicts itself.
    """
    answer = unfence(_ENDED.split(final_text(text), maxsplit=1)[0])
    if len(answer) > LONGEST:
        raise AskAgain(f"the classifier's answer has {len(answer):,} characters: {short(answer)}")
    answer = _BLANKS.sub("\n\n", answer)
    if (named := _from_json(answer)) is not None:
        answer = f"Instruction: {named}"
    none = next((found for found in _NONE.finditer(answer) if not _is_denied(answer, found)), None)
    heads = sorted([*_HEAD.finditer(answer), *_HEADING.finditer(answer)], key=lambda head: head.start())
    refused: AskAgain | None = None
    for number, head in enumerate(heads):
        end = heads[number + 1].start() if number + 1 < len(heads) else len(answer)
        following = _NEXT.search(answer, head.end())
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
        if none is not None and none.start() < (end if following is None else following.start()):
            raise AskAgain(f"the classifier named an instruction and said NO_INST: {short(text)}")
        return found if end == len(answer) else found._replace(ended=True)
    if none is not None or (refused is None and _says_none(answer)):
        return Reading(None, ended=True)
    raise refused or AskAgain(f"the classifier named no instruction and did not say NO_INST: {short(text)}")


def _is_denied(answer: str, found: re.Match[str]) -> bool:
    """Tells whether the rest of the line takes NO_INST back: "NO_INST, no wait"."""
    return _DENIED.search(answer[found.end() :].partition("\n")[0][:40]) is not None


def _says_none(answer: str) -> bool:
    """Tells whether an answer without a head says that there is no instruction, at its end or as a whole."""
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
    except AskAgain:
        return None
    if not isinstance(value, dict):
        return None
    found = next((item for key, item in value.items() if re.fullmatch(_NOUN, str(key).strip(), re.IGNORECASE)), "")
    return "NO_INST" if found is None else found if isinstance(found, str) and found else None


def _read_value(rest: str, sampled: str | None, examples: Sequence[str]) -> Reading:
    if _NONE_VALUE.match(rest.strip()) is not None:
        return Reading(None, ended=True)
    value, ended = _cut(rest, sampled or "")
    value = _tidy(value, sampled or "")
    if value.casefold().strip(" .。!") in _NO_WORDS:
        return Reading(None, ended=True)
    if not value or value.casefold() in _N_A or is_placeholder(value):
        raise Echo(f"the classifier named no instruction, but {short(rest.strip())}")
    if sampled is None:
        return Reading(value, ended)
    if any(_same(value, example) for example in examples) and coverage(value, sampled) < 1:
        raise Echo(f"the classifier repeated an example of the prompt: {short(value)}")
    kept = _drop_stray(value, sampled)
    if strange_words(kept, sampled) or coverage(kept, sampled) < GROUNDED or skipped_words(kept, sampled) > _SKIPPED:
        raise AskAgain(f"the instruction is not in the sampled text: {short(kept)}")
    return Reading(kept, ended or kept != value)


def _cut(rest: str, sampled: str) -> tuple[str, bool]:
    """Ends an instruction where something else begins: an answer, a note, the next example."""
    kept: list[str] = []
    said: list[str] = []  # the last lines that are not blank
    fenced = False
    lines = rest.strip("\n").splitlines()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            if not said and not line.strip("` \n"):
                continue  # a fence around the instruction
            fenced = not fenced
        elif said and not fenced and _ends_at(line, said, lines[number + 1 : number + 3], sampled):
            return "\n".join(kept), True
        kept.append(line)
        if line.strip():
            said = [*said[-2:], line]
    text = "\n".join(kept)
    if text.count("```") % 2:
        text = text.rstrip().removesuffix("```")
    shorter = _INLINE_ANSWER.sub("", _INLINE_END.split(text, maxsplit=1)[0])
    return shorter, shorter != text


def _ends_at(line: str, said: list[str], later: list[str], sampled: str) -> bool:
    """Tells whether a line does not belong to the instruction any more."""
    if _IS_ANSWER.match(line):
        return True
    if _IS_REMARK.match(line):
        return line.strip() not in sampled or _is_question(said[-1])
    return _answers(said, line, later)


def _answers(said: list[str], line: str, later: list[str]) -> bool:
    """Tells whether a line after a question, or after its options, states something, and so answers it."""
    bullets = _BULLET.match(line) is not None and (_BULLET.match(said[-1]) or any(map(_BULLET.match, later)))
    options = _OPTION.match(line) is not None and (_OPTION.match(said[-1]) or any(map(_OPTION.match, later)))
    if not line.strip() or bullets or options or _CODE.search(line) or line.rstrip().endswith(("?", "？", ":", "：")):
        return False
    after_options = len(said) > 2 and all(_OPTION.match(one) or _BULLET.match(one) for one in said[-2:])
    alone = _OPTION.match(line) is not None  # one option is none
    states = _STATES.match(line) is not None or line.rstrip().endswith(("です。", "ます。"))
    return (_is_question(said[-1]) and (states or alone)) or (after_options and not any(map(_OPTION.match, later)))


def _is_question(line: str) -> bool:
    return line.rstrip(" *_\"'”’)").endswith(("?", "？", "؟"))


def _tidy(value: str, sampled: str) -> str:
    text = value.strip()
    if text[:1] == '"' and text.endswith('",'):
        text = text[:-1]  # a line of a JSON object
    for mark in ('\\"', "**", "*", '"', "`", "”"):
        opened = mark == "”" and "“" in text
        if text.count(mark) == 1 and not opened and (text.endswith(mark) or text.startswith(mark)):
            text = text.removesuffix(mark).removeprefix(mark).strip()  # the other one is before the label
    text = unwrap(text.removeprefix('\\"').removesuffix('\\"'))
    if text.startswith("```") and text.endswith("```") and "\n" not in text:
        text = text.strip("`").strip()
    for first, last in (("[", "]"), ("(", ")"), ("<", ">"), ("{", "}")):
        if text.startswith(first) and text.endswith(last) and text not in sampled and first not in text[1:]:
            text = text[1:-1].strip()  # the brackets of a form
    for prefix in (_PREFIX, _LIST_MARK):
        if (found := prefix.match(text)) is not None and found[0].strip() not in sampled:
            text = text[found.end() :]
    if text.strip("*_` ") == "":
        return ""
    while text and unicodedata.category(text[-1]) in _TRAILING and text[-1] not in sampled:
        text = text[:-1].rstrip()
    return text


def _drop_stray(value: str, sampled: str) -> str:
    """Leaves out last sentences that the sampled text does not have, and an answer in the line of its question."""
    if "```" in value:
        return value
    pieces = _pieces(value)
    asked = [number for number, piece in enumerate(pieces) if _is_question(piece)]
    if asked and _INLINE_OPTIONS.search(value) is None and sum(map(bool, map(_OPTION.match, pieces))) < 2:
        last = next(
            (number for number in range(asked[-1] + 1, len(pieces)) if _is_statement(pieces[number])), len(pieces)
        )
        pieces = pieces[:last]
    while len(pieces) > 1 and (_is_aside(pieces[-1], sampled) or coverage(pieces[-1], sampled) < _STRAY):
        pieces.pop()
    return "".join(pieces).strip() or value


def _is_aside(piece: str, sampled: str) -> bool:
    """Tells whether a sentence is a remark in brackets that the sampled text does not have."""
    text = piece.strip().strip("*_")
    return text[:1] + text[-1:] in ("()", "[]", "（）") and text not in sampled


def _is_statement(piece: str) -> bool:
    return bool(piece.strip()) and _CODE.search(piece) is None and _STATES.match(piece) is not None


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

"""Finds the extent of the instruction in a classifier's answer: where it ends, and what surrounds it."""

from __future__ import annotations

import re
import unicodedata

from mminf.step import coverage, lazy_pattern, unwrap

from .patterns import UNSPACED, any_of

_LIST_MARK = lazy_pattern(r"^(?:[>\-*•]|\d{1,2}[.)])\s+")
_STRAY = 0.5
"""If a smaller share of the last sentence is in the sampled text, the classifier added it."""
# Labels of lines after the instruction.
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
_IS_ANSWER = lazy_pattern(rf"^[ \t>*_`(（\[-]*(?:{_ANSWERS}[ \t*_]*[:：]|{_REMARKS})", re.IGNORECASE)
# Words of the classifier, unless the line is in the sampled text.
_IS_REMARK = lazy_pattern(
    rf"^[ \t>*_`(（\[-]*(?:{_LABELS}[ \t*_]*[:：]|{_OWN_REMARKS}"
    rf"|(?:this|the[ \t]+(?:text|rest|instruction))[ \t]+(?:is|was|contains|asks|only|above|then)\b.{{0,60}}\b{_ABOUT})"
    r"|^[ \t]*(?:-{3,}|\*{3,}|={3,}|\"{3})[ \t]*$|^[ \t]*#{1,6}[ \t]|^[ \t]*\(.*\)[ \t]*$",
    re.IGNORECASE,
)
_INLINE_END = lazy_pattern(r"\[End of Text\]", re.IGNORECASE)
_INLINE_ANSWER = lazy_pattern(
    r"(?<=[?？.。!！:：])[ \t]*[(\[*_]*(?:(?:correct[ \t]+)?(?:answer|response|答案|回答)[ \t]*[*_]*[ \t]*[:：]"
    r"|A[:：](?!.*\bB[:：.)])|Ans[.:]|(?:(?<=[?？])|(?<=[?？] ))(?:→|->|=>)).*\Z",
    re.IGNORECASE | re.DOTALL,
)
_OPTION = lazy_pattern(
    r"^[ \t]*(?:[-*•][ \t]*)?(?:\*\*)?[(\[（]?(?:[A-Ja-j]|[1-9]\d?|[ivxIVX]{1,4}|[①-⑳])(?:[ "
    r"\t]*[.)\]、:：）．]|[ \t]+[-–])(?:\*\*)?[ \t]*\S"
)
_BULLET = lazy_pattern(r"^[ \t]*[-*•][ \t]+\S")
_INLINE_OPTIONS = lazy_pattern(r"(?:^|[\s(（？?])A[ \t]*[.)、:：）．].*?[\s(（]B[ \t]*[.)、:：）．]", re.DOTALL)
# How a statement begins that answers the question before it.
_STATES = lazy_pattern(
    r"^\W*(?:(?:"
    + any_of(
        "the, it, it['’]s, its, there, this, that, these, those, he, she, they, we, a, an, in the, on "
        "the, at the, yes, no, because, based on, "
        "according to, one, two, three, four, five, six, seven, eight, nine, ten, \\d+, most, some, both, all, none, "
        "es, ein, eine, der, die, das, ja, nein, oui, non, il y a, c['’]est, un, une, el, la, los, las, hay, sí"
    )
    + r")\b(?!\s+or\s+no\b)|i\s+(?:can|cannot|see|think|believe|count|notice|observe|guess|would\s+say|don['’]t)\b"
    r"|i['’]m\s+sorry\b|[有是这那它他她]|因为|图中|图片|画面|答)",
    re.IGNORECASE,
)
# How a caption begins that follows a command.
_DESCRIBES = lazy_pattern(
    r"\W*(?:(?:the|this)\s+(?:image|picture|photo|photograph|scene|drawing|painting|screenshot)\s+"
    r"(?:shows|depicts|features|contains|captures|presents|displays|is\s+of)\b"
    r"|in\s+(?:the|this)\s+(?:image|picture|photo|scene),?\s+(?:there|a|an|two|three|we|the)\b"
    r"|(?:a|an|one|two|three|several|some)\s+(?:\w+\s+)?(?:man|men|woman|women|person|people|boys?|girls?|child|children|"
    r"dogs?|cats?|couple|group)\s+(?:of\s+\w+\s+)?(?:\w+ing|is|are|stands?|sits?|walks?|wears?|holds?|lies?|plays?|rides?)\b"
    r"|(?:图中|图片中|画面中|照片中|这张图片(?:展示|显示)|一位|一个人|一只|一名))",
    re.IGNORECASE,
)
_CODE = lazy_pattern(r"[=(){};]|^\s*[!-~]*[^.!\s\W]\s*$", re.ASCII)
# Between sentences: after a question mark only where another sentence begins.
_SENTENCE = lazy_pattern(
    rf"(?<=[?])(?=\s+[A-Z¿¡\"'“(]|\s*[{UNSPACED}])\s*|(?<=[？!！。؟])(?!\s*[\"'”’)）\]])\s*|(?<=[^\s][^A-Z\s]\.)\s+(?=[A-Z\d\"'“(\[{UNSPACED}])"
)
_PREFIX = lazy_pattern(r"^(?:the\s+(?:text|user)\s+asks|question|q|问题|问)\s*[:：]\s*", re.IGNORECASE)
_MARKS = [("**", "**"), ("<", ">"), *zip("\"“'‘「『[（({`*", "\"”'’」』]）)}`*", strict=True)]
_TRAILING = frozenset({"So", "Sk", "Cf", "Cn", "Co", "Mn"})


def cut(rest: str, sampled: str) -> tuple[str, bool]:
    """Returns the instruction without an answer or note after it, and whether there was one.

    Args:
        rest: the answer after its label.
        sampled: the text that was classified.
    """
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
    """Returns whether the instruction ends before this line."""
    if _IS_ANSWER.match(line):
        return True
    if _IS_REMARK.match(line):
        return line.strip() not in sampled or _is_question(said[-1])
    return _answers(said, line, later)


def _answers(said: list[str], line: str, later: list[str]) -> bool:
    """Returns whether a line answers the question, or the options, before it: whether it is a statement."""
    if not line.strip() or line.rstrip().endswith(("?", "？", ":", "：")) or _CODE.search(line):
        return False
    if _is_in_list(_BULLET, said[-1], line, later) or _is_in_list(_OPTION, said[-1], line, later):
        return False
    if _is_question(said[-1]) and (_states(line) or _OPTION.match(line) is not None):  # one option is none
        return True
    after_options = len(said) > 2 and all(_OPTION.match(one) or _BULLET.match(one) for one in said[-2:])
    return after_options and not any(map(_OPTION.match, later))


def _is_in_list(item: re.Pattern[str], before: str, line: str, later: list[str]) -> bool:
    """Returns whether a line is an item among others."""
    return item.match(line) is not None and any(map(item.match, (before, *later)))


def _states(line: str) -> bool:
    return _STATES.match(line) is not None or line.rstrip().endswith(("です。", "ます。"))


def _is_question(line: str) -> bool:
    return line.rstrip(" *_\"'”’)").endswith(("?", "？", "؟"))


def tidy(value: str, sampled: str) -> str:
    """Returns an instruction without quotes, emphasis, brackets and labels that the sampled text does not have."""
    text = value.strip()
    if text[:1] == '"' and text.endswith('",'):
        text = text[:-1]  # a line of a JSON object
    text = _without_added(_without_lone_marks(text), sampled)
    text = unwrap(text.removeprefix('\\"').removesuffix('\\"'))
    if text.startswith("```") and text.endswith("```") and "\n" not in text:
        text = text.strip("`").strip()
    text = _without_form(text, sampled)
    return _without_symbols(text, sampled) if text.strip("*_` ") else ""


def _without_lone_marks(text: str) -> str:
    """Removes a mark of emphasis or quotation at either end that is there once: the other is before the label."""
    for mark in ('\\"', "**", "*", '"', "`", "”"):
        opened = mark == "”" and "“" in text
        if text.count(mark) == 1 and not opened and (text.endswith(mark) or text.startswith(mark)):
            text = text.removesuffix(mark).removeprefix(mark).strip()
    return text


def _without_added(text: str, sampled: str) -> str:
    """Removes marks around a text that the sampled text has without them; the text may contain such marks."""
    source = " ".join(sampled.split())
    for first, last in _MARKS:
        inner = text[len(first) : len(text) - len(last)].strip()
        added = text.startswith(first) and text.endswith(last) and " ".join(text.split()) not in source
        if added and inner and " ".join(inner.split()) in source:
            return inner
    return text


def _without_form(text: str, sampled: str) -> str:
    """Removes the brackets of a form, and labels and list marks, unless the sampled text has them."""
    for first, last in (("[", "]"), ("(", ")"), ("<", ">"), ("{", "}")):
        if text.startswith(first) and text.endswith(last) and text not in sampled and first not in text[1:]:
            text = text[1:-1].strip()
    for prefix in (_PREFIX, _LIST_MARK):
        if (found := prefix.match(text)) is not None and found[0].strip() not in sampled:
            text = text[found.end() :]
    return text


def _without_symbols(text: str, sampled: str) -> str:
    """Removes symbols at the end that the sampled text does not have."""
    while text and unicodedata.category(text[-1]) in _TRAILING and text[-1] not in sampled:
        text = text[:-1].rstrip()
    return text


def drop_stray(value: str, sampled: str) -> str:
    """Removes answers, captions, and last sentences that are not in the sampled text."""
    if "```" in value:
        return value
    pieces = _pieces(value)
    if _INLINE_OPTIONS.search(value) is None and sum(map(bool, map(_OPTION.match, pieces))) < 2:
        pieces = _without_answers(pieces)
    described = next((number for number in range(1, len(pieces)) if _DESCRIBES.match(pieces[number])), len(pieces))
    if not any(map(_is_question, pieces[described:])):
        pieces = pieces[:described]
    while len(pieces) > 1 and (_is_aside(pieces[-1], sampled) or coverage(pieces[-1], sampled) < _STRAY):
        pieces.pop()
    return "".join(pieces).strip() or value


def has_sentence(text: str, sentence: str) -> bool:
    """Returns whether a sentence or line of two words or more is in a text, as a whole."""
    wanted = sentence.split()
    plain = " ".join(wanted)
    if len(wanted) < 2 and not re.search(f"[{UNSPACED}]{{2}}", plain):
        return False
    return any(" ".join(piece.split()) == plain for piece in _pieces(text))


def _without_answers(pieces: list[str]) -> list[str]:
    """Removes the statements after the last question."""
    asked = [number for number, piece in enumerate(pieces) if _is_question(piece)]
    if not asked:
        return pieces
    after = range(asked[-1] + 1, len(pieces))
    return pieces[: next((number for number in after if _is_statement(pieces[number])), len(pieces))]


def _is_aside(piece: str, sampled: str) -> bool:
    """Returns whether a sentence is a remark in brackets that the sampled text does not have."""
    text = piece.strip().strip("*_")
    return text[:1] + text[-1:] in ("()", "[]", "（）") and text not in sampled


def _is_statement(piece: str) -> bool:
    return bool(piece.strip()) and _CODE.search(piece) is None and _STATES.match(piece) is not None


def _pieces(value: str) -> list[str]:
    """Splits a text into sentences and lines, each with the white space after it."""
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

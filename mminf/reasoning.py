"""Separates a model's reasoning from its answer.

Reasoning models write their reasoning before the answer, between markers that differ by model family. The markers
here are those of the families' chat templates and of the reasoning parsers of vLLM and ms-swift. If reasoning is
opened and not closed, the answer is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from mminf.lazy import lazy_pattern

# <think> (DeepSeek-R1, Qwen3, GLM, Phi-4 ...), <seed:think> (Seed-OSS), <mm:think> (MiniMax), <think:id> (Hunyuan).
_STANDARD = r"(?:\w+:)?think(?:[:_]\w+)?"
# Names of tags that a recipe may request as well: they are markers only if the prompt does not contain the tag.
_USUAL = r"thinking|thoughts?|reasoning|analysis|reflection"
_PAIRS = (
    (rf"<[ ]?(?P<tag>{_STANDARD}|{_USUAL})[ ]?>", rf"<[ ]?/[ ]?(?P<closed>{_STANDARD}|{_USUAL})[ ]?>"),
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    (r"◁think▷", r"◁/think▷"),  # Kimi-VL
    (r"<\|(?:START_THINKING|begin_of_thought|think|thinking|thought_start)\|>",
     r"<\|(?:END_THINKING|end_of_thought|/think|/thinking|thought_end)\|>"),  # Command A, Sky-T1 and others
    (r"<\|channel>\s{0,2}thought\b", r"<channel\|>"),  # Gemma 4
    (r"<unused94>\s{0,2}thought\b", r"<unused95>"),  # MedGemma
    (r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>"),  # Kimi K3
    (r"<\|channel\|>\s?analysis\s?<\|message\|>",
     r"(?:<\|end\|>|<\|return\|>)?(?:<\|start\|>\s?assistant)?\s?<\|channel\|>\s?final\s?<\|message\|>"),  # gpt-oss
    (r"\AHere(?: is|'s|’s) my thought process:", r"^Here(?: is|'s|’s) my response:"),  # Granite
    (r"\Aanalysis(?=[A-Z])", r"assistantfinal"),  # gpt-oss, decoded without its special tokens
)  # fmt: skip
_MARKER = lazy_pattern(
    "|".join(f"(?P<open{n}>{_PAIRS[n][0]})|(?P<close{n}>{_PAIRS[n][1]})" for n in range(len(_PAIRS))), re.M | re.I
)
# Wrappers of the answer after the reasoning.
_WRAPS = (
    ("<answer>", "</answer>"), ("<response>", "</response>"), ("<final>", "</final>"), ("<output>", "</output>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|begin_of_box|>", "<|end_of_box|>"),
    ("<|open|>response<|sep|>", "<|close|>response<|sep|>"), ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),
)  # fmt: skip
_LAST = ("<|end|>", "<|return|>", "<|close|>message<|sep|>")
_TAGS = lazy_pattern(rf"<[ ]?({_USUAL}|answer|response|final|output)[ ]?>", re.I)
_QUOTES = "`'\"“”‘’「」"
# A word, a closing marker, a word in lower case: a sentence is about the marker.
_IN_SENTENCE = lazy_pattern(r"\w[ \t]+\Z"), lazy_pattern(r"\A[ \t]+[a-z]")
# A text before the reasoning that is not an answer.
_OPENER = lazy_pattern(
    r"\A(?:<\|[^<>|\s]+\|>\s*(?:assistant)?"
    r"|(?:(?:sure|okay|ok|alright|certainly|of course|well|hmm|first|好的|好)\b[.!:,…。！：， ]*)?"
    r"(?:(?:let me|let's|let us|i'll|i will|i need to|让我)\b[^`<>\[\]{}\n.?!]{0,60})?[.!:,…。！：，]*)\Z",
    re.IGNORECASE,
)


class Parts(NamedTuple):
    """A model's output.

    Attributes:
        text: the answer.
        reasoning: without its markers; None if there is none.
        complete: false if reasoning is not closed, or if the start of the answer is ambiguous.
    """

    text: str
    reasoning: str | None
    complete: bool = True


def split_reasoning(output: str, prompt: Callable[[], str] = str) -> Parts:
    """Returns the answer and the reasoning in a model's output.

    A closing marker without an opening one ends reasoning that the chat template opened in the prompt. A marker in
    quotes or backticks is text.

    Args:
        output: all that the model wrote.
        prompt: gives the text of the prompt; tags that it names, such as <reasoning>, belong to the answer. `<think>`
            never does.
    """
    if not _may_have_markers(output):
        return Parts(output, None)
    asked = {tag.lower() for tag in _TAGS.findall(prompt())} if _TAGS.search(output) else set()
    markers = _find_markers(output, asked)
    if not markers:
        return Parts(output, None)
    thoughts: list[str] = []
    start: int | None = None  # where the current reasoning begins
    answer = 0  # where the text that may be the answer begins
    for found in markers:
        before = output[answer : found.start()]
        if start is not None:
            if not _opens(found):
                thoughts.append(output[start : found.start()])
                start, answer = None, found.end()
            continue
        if not _opens(found) and not thoughts and not _in_sentence(output, found):
            thoughts.append(before)
        elif _is_answer(before, found, first=not thoughts):
            return Parts("", output, complete=False)
        if _opens(found):
            start = found.end()
        else:
            answer = found.end()
    if start is not None:
        return Parts("", _joined([*thoughts, output[start:]]), complete=False)
    return Parts(_unwrapped(output[answer:].lstrip(), asked), _joined(thoughts))


def _may_have_markers(output: str) -> bool:
    """Returns whether an output may contain a marker; most do not."""
    if "<" in output or "◁" in output or output.startswith(("Here", "analysis")):
        return True
    lower = output.lower()
    return "nk]" in lower or "assistantfinal" in lower or "my response:" in lower  # [THINK], but not a judge's [[5]]


def _is_answer(before: str, found: re.Match[str], *, first: bool) -> bool:
    """Returns whether a text before a marker may be the answer: then it is not known where the answer begins.

    Args:
        first: no reasoning is known yet; words that introduce it are not an answer.
    """
    text = before.strip()
    if not text:
        return False
    return not (_opens(found) and first and _OPENER.match(text))


def join_reasoning(text: str, reasoning: str | None) -> str:
    """Returns reasoning and answer in one text, the reasoning in `<think>` tags."""
    return text if reasoning is None else f"<think>\n{reasoning}\n</think>\n\n{text}"


def _unwrapped(text: str, asked: set[str]) -> str:
    """Returns an answer without the wrapper that a model family puts around it."""
    for first, last in _WRAPS:
        if text[: len(first)].lower() == first.lower() and first.strip("<>") not in asked:
            inner = text[len(first) :].rstrip()
            ends = any(inner[-len(end) :].lower() == end.lower() for end in (*_LAST, last))
            if (last.lower() in inner.lower() and not ends) or first.lower() in inner.lower():
                return text  # the text after it is part of the answer
            for end in (*_LAST, last):
                if inner[-len(end) :].lower() == end.lower():
                    inner = inner[: -len(end)].rstrip()
            return inner.lstrip()
    return text


def _find_markers(output: str, asked: set[str]) -> list[re.Match[str]]:
    markers = [found for found in _MARKER.finditer(output) if not _is_quoted(output, found)]
    # Usual tags may be content: they mark reasoning only if one of them starts the output and was not requested.
    begins = bool(markers) and _opens(markers[0]) and not output[: markers[0].start()].strip()
    usual = begins and _usual_tag(markers[0]) not in asked
    return [found for found in markers if (tag := _usual_tag(found)) is None or (usual and tag not in asked)]


def _opens(found: re.Match[str]) -> bool:
    return any(value is not None and name.startswith("open") for name, value in found.groupdict().items())


def _usual_tag(found: re.Match[str]) -> str | None:
    tag = found["tag"] or found["closed"]
    return tag.lower() if tag is not None and re.fullmatch(_USUAL, tag, re.I) else None


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(thought.strip() for thought in thoughts if thought.strip())


def _is_quoted(output: str, found: re.Match[str]) -> bool:
    before, after = output[found.start() - 1 : found.start()], output[found.end() : found.end() + 1]
    return bool(before and after) and before in _QUOTES and after in _QUOTES


def _in_sentence(output: str, found: re.Match[str]) -> bool:
    before, after = _IN_SENTENCE
    return before.search(output, 0, found.start()) is not None and after.match(output[found.end() :]) is not None

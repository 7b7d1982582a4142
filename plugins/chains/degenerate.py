"""`degenerate`: drops texts that repeat themselves without end, echo what was asked, or are debris."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, step

from .repetition import find_repetition
from .texts import as_text, one_of, shorten, word_set, words_of

# Default system turns of chat templates.
_SYSTEM = (
    "You are a helpful assistant.",
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think step-by-step.",
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
)
# What may stand before an echo without making it an answer.
_ROLES = word_set(
    """
    user human assistant question instruction request prompt q a answer 问 题 用 户 指 令 助 手 回 答
    """
)

_TOKEN = one_of(
    r"""
    <[|｜][^\s<>|｜]{1,40}[|｜]>
    </?s>|<(?:unk|pad|eos|bos|start_of_turn|end_of_turn)>|<<SYS>>|<0x[0-9A-F]{2}>
    \[/?INST\]|\[(?:UNK|PAD|CLS|SEP|EOS)\]
    """
)
_TOKENS = re.compile(_TOKEN)
# At the end or the beginning, not in quotes: a text about tokens quotes them, or says what they are.
_TOKEN_AT_END = re.compile(
    rf"(?<![\"'`“‘(「]){_TOKEN}\s*$|^\s*{_TOKEN}(?!\s*(?:is|are|means?|marks?|stands?|and|是|表示)\b)"
)
_PLACEHOLDERS = frozenset(["undefined", "null", "NULL", "nan", "NaN", "[object Object]"])
_GARBLED = re.compile(r"(?<![\"'`“‘(「])\ufffd(?![\"'`”’)」])")
_CLOSERS = re.compile(r"[}\])>/\\|]{4,}\s*$")
# An answer may be a few of these, and nothing else: "What sign is between 2 and 3?" - "+".
_SYMBOLS = frozenset("%&#@*^")


class DegenerateConfig(StepConfig):
    """Settings of `degenerate`."""

    reads: Names = Field(description="Fields with the texts.")
    echo_of: Names = Field(
        default_factory=list, description="Fields that a text must not merely repeat, for example the instruction."
    )
    system: Names = Field(
        default_factory=list,
        description="System prompts that a text must not repeat, in addition to those of common chat templates.",
    )
    similarity: float = Field(
        0.9, ge=0.5, le=1, description="Share of equal words from which a text counts as an echo."
    )


@step("degenerate")
class Degenerate(Step[DegenerateConfig]):
    """Drops texts that repeat themselves without end, echo the system prompt or the request, or are debris.

    Debris is what no tokenizer should have left: special tokens, replacement characters, lone punctuation, "undefined".
    Refrains, tables, lists, code and numbers are kept. An answer that quotes the request and goes on is no echo.
    """

    gate = True

    @property
    def reads(self) -> frozenset[str]:
        """The texts, and the fields that they must not repeat."""
        return super().reads.union(self.config.echo_of)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if one of its texts is degenerate."""
        for name in self.config.reads:
            text = as_text(record[name])
            requests = {other: as_text(record[other]) for other in self.config.echo_of if other != name}
            found = find_debris(text) or self._find_echo(text, requests)
            if found is None and (repeated := find_repetition(text)) is not None:
                found = f"repeats {shorten(repeated)}"
            if found is not None:
                return Drop(f"{name} {found}")
        return {}

    def _find_echo(self, text: str, requests: dict[str, str]) -> str | None:
        if is_system_prompt(text, [*self.config.system, *_SYSTEM], self.config.similarity):
            return f"repeats a system prompt: {shorten(text)!r}"
        for other, request in requests.items():
            if is_echo(text, request, self.config.similarity):
                return f"repeats {other}: {shorten(text)!r}"
        return None


def find_debris(text: str) -> str | None:
    """Returns what of a text is debris, as the end of a sentence about it; None where it is none."""
    bare = text.strip()
    if not bare:
        return "is empty"
    if bare.strip(" .。'\"`") in _PLACEHOLDERS:
        return f"is a placeholder: {shorten(bare)!r}"
    if not any(map(str.isalnum, _TOKENS.sub("", bare))) and not _is_symbol(bare):
        return f"has no words: {shorten(bare)!r}"
    if (token := _TOKEN_AT_END.search(bare)) is not None and not (token[0].strip() == "</s>" and "<s>" in bare):
        return f"contains a special token: {shorten(token[0])!r}"
    if (found := _GARBLED.search(bare)) is not None:
        return f"contains a replacement character: {shorten(bare[max(0, found.start() - 20) :], 40)!r}"
    if (closers := _CLOSERS.search(bare)) is not None and _count_unopened(bare) >= 4:
        return f"ends in {shorten(closers[0])!r}"
    return None


def _is_symbol(text: str) -> bool:
    return len(text) <= 3 and all(char in _SYMBOLS or unicodedata.category(char) in ("Sm", "Sc", "So") for char in text)


def _count_unopened(text: str) -> int:
    return max(text.count(close) - text.count(open_) for open_, close in ("{}", "[]", "()", "<>"))


def is_echo(text: str, request: str, similarity: float) -> bool:
    """Returns whether a text is a copy of a request, near enough, and adds nothing to it.

    A near copy begins as the request does: "The cup is red." answers "Is the cup red?" with nearly the same words.
    """
    said, asked = words_of(text), words_of(request)
    if len(asked) < 2 or not said:
        return False
    if said[0] == asked[0] and Levenshtein.normalized_similarity(said, asked) >= similarity:
        return True
    return set(_without(said, asked)) <= _ROLES if len(said) >= len(asked) else False


def is_system_prompt(text: str, prompts: Iterable[str], similarity: float) -> bool:
    """Returns whether a text is one of these prompts, or holds a long one word for word."""
    said = words_of(text)
    for words in map(words_of, prompts):
        if not words or not said:
            continue
        if Levenshtein.normalized_similarity(said, words) >= similarity:
            return True
        rest = _without(said, words)
        if len(rest) < len(said) and (len(words) >= 10 or len(rest) < 3):
            return True
    return False


def _without(words: list[str], part: list[str]) -> list[str]:
    """Leaves out each place where one list of words is in another."""
    left: list[str] = []
    index = 0
    while index < len(words):
        if words[index : index + len(part)] == part:
            index += len(part)
        else:
            left.append(words[index])
            index += 1
    return left

"""`degenerate`: drops texts with endless repetition, echoes of the request, and debris."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, lazy_pattern, step

from .repetition import find_repetition
from .texts import one_of, shorten, texts_of, word_set, words_of

# Default system turns of chat templates.
_SYSTEM = (
    "You are a helpful assistant.",
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think step-by-step.",
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
)
# Words that an echo may have in addition to the request.
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
_TOKENS = lazy_pattern(_TOKEN)
# Only at the start or end, and not in quotes: a text about tokens quotes or explains them.
_TOKEN_AT_END = lazy_pattern(
    rf"(?<![\"'`“‘(「]){_TOKEN}\s*$|^\s*{_TOKEN}(?!\s*(?:is|are|means?|marks?|stands?|and|是|表示)\b)"
)
_PLACEHOLDERS = frozenset(["undefined", "null", "NULL", "nan", "NaN", "[object Object]"])
_GARBLED = lazy_pattern(r"(?<![\"'`“‘(「])\ufffd(?![\"'`”’)」])")
_CLOSERS = lazy_pattern(r"[}\])>/\\|]{4,}\s*$")
# An answer may consist of a few of these: "What sign is between 2 and 3?" - "+".
_SYMBOLS = frozenset("%&#@*^")


# About a third of an English text are function words, which a request contains as well.
_REHASH_WORDS, _REHASH_TIMES, _REHASH_NEW = 30, 3, 0.25


class DegenerateConfig(StepConfig):
    """Settings of `degenerate`."""

    reads: Names = Field(description="Fields with the texts, or lists of texts.")
    echo_of: Names = Field(
        default_factory=list, description="Fields that a text must not repeat, for example the instruction."
    )
    system: Names = Field(
        default_factory=list,
        description="System prompts that a text must not repeat, in addition to those of common chat templates.",
    )
    similarity: float = Field(
        0.9, ge=0.5, le=1, description="Minimum share of equal words at which a text counts as an echo."
    )


@step("degenerate")
class Degenerate(Step[DegenerateConfig]):
    """Drops texts with endless repetition, echoes of the system prompt or the request, and debris.

    Debris is special tokens, replacement characters, punctuation without words, and values like "undefined". Refrains,
    tables, lists, code and numbers are kept. An answer that quotes the request and continues is not an echo.
    """

    version = 2

    @property
    def gate(self) -> bool:
        return True

    @property
    def reads(self) -> frozenset[str]:
        """The texts, and the fields that they are compared with."""
        return super().reads.union(self.config.echo_of)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if one of its texts is degenerate."""
        for name in self.config.reads:
            requests = [
                (other, text) for other in self.config.echo_of if other != name for text in texts_of(record[other])
            ]
            for text in texts_of(record[name]):
                if (found := self._find_fault(text, requests)) is not None:
                    return Drop(f"{name} {found}")
        return {}

    def _find_fault(self, text: str, requests: list[tuple[str, str]]) -> str | None:
        found = find_debris(text) or self._find_echo(text, requests)
        if found is None and (repeated := find_repetition(text)) is not None:
            found = f"repeats {shorten(repeated)}"
        return found

    def _find_echo(self, text: str, requests: list[tuple[str, str]]) -> str | None:
        if is_system_prompt(text, [*self.config.system, *_SYSTEM], self.config.similarity):
            return f"repeats a system prompt: {shorten(text)!r}"
        for other, request in requests:
            if is_echo(text, request, self.config.similarity) or is_rehash(text, request):
                return f"repeats {other}: {shorten(text)!r}"
        return None


def find_debris(text: str) -> str | None:
    """Returns a description of the debris in a text, or None."""
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
    """Returns whether a text is a copy or near copy of a request, and adds nothing to it.

    A near copy must begin with the same word: "The cup is red." answers "Is the cup red?" with almost the same words.
    """
    said, asked = words_of(text), words_of(request)
    if len(asked) < 2 or not said:
        return False
    if said[0] == asked[0] and Levenshtein.normalized_similarity(said, asked) >= similarity:
        return True
    return set(_without(said, asked)) <= _ROLES if len(said) >= len(asked) else False


def is_rehash(text: str, request: str) -> bool:
    """Returns whether a long text says a short request again and again, in almost no other words."""
    said, asked = words_of(text), words_of(request)
    if len(said) < max(_REHASH_WORDS, _REHASH_TIMES * len(asked)) or not asked:
        return False
    known = set(asked)
    return sum(word not in known for word in said) < _REHASH_NEW * len(said)


def is_system_prompt(text: str, prompts: Iterable[str], similarity: float) -> bool:
    """Returns whether a text is similar to one of these prompts, or contains a long one word for word."""
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


def _without(words: Sequence[str], part: Sequence[str]) -> Sequence[str]:
    """Removes each occurrence of one sequence of words from another."""
    if part[0] not in words:
        return words
    left: list[str] = []
    index = 0
    while index < len(words):
        if words[index : index + len(part)] == part:
            index += len(part)
        else:
            left.append(words[index])
            index += 1
    return left

"""The tokens of a model: special tokens, ends of a turn, banned tokens, and tokens of choices."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mminf.backend.swift.ban import banned_ids
from mminf.backend.swift.choice import Decision, find_decision
from mminf.special_tokens import break_token, own_tokens

if TYPE_CHECKING:
    from swift.template import Template

_MEDIA = frozenset({"<img>", "</img>", "<start-image>"})
"""Tags that ms-swift reads as media, in addition to those of the template's class."""


class Vocabulary:
    """The tokens of a model and of its ms-swift template.

    Args:
        template: the model's template.

    Attributes:
        tokenizer: the model's tokenizer.
    """

    def __init__(self, template: Template) -> None:
        self.tokenizer = template.tokenizer
        self._meta = template.template_meta
        self._special = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        self._special |= set(self.tokenizer.all_special_tokens)
        self._reserved = _match_any(self._special | set(type(template).special_tokens) | _MEDIA)
        self._ends: re.Pattern[str] | None = None
        self._banned: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._decisions: dict[tuple[str, ...], Decision | None] = {}

    def escape(self, text: str) -> str:
        """Returns a text with the model's special tokens and ms-swift's media tags broken."""
        return self._reserved.sub(break_token, text)

    def special_tokens(self) -> frozenset[str]:
        """Returns the special tokens that datasets must escape."""
        return own_tokens(self._special)

    def end_ids(self) -> list[int]:
        """Returns the ids that end a turn: the model's EOS and the template's stop words."""
        ends = [self.tokenizer.eos_token_id]
        for word in [*self._meta.stop_words, self._meta.suffix_stop]:
            ids = self.encode(word) if isinstance(word, str) else word or []
            if len(ids) == 1:
                ends.append(ids[0])
        return sorted({int(end) for end in ends if end is not None})

    def strip_ends(self, text: str) -> str:
        """Removes the tokens that ended an answer; ms-swift removes only the template's and the EOS."""
        if self._ends is None:
            words = [self.tokenizer.decode([end]) for end in self.end_ids()]
            self._ends = re.compile(f"(?:{'|'.join(re.escape(word) for word in words)})+$")
        return self._ends.sub("", text)

    def banned_ids(self, bans: Sequence[str]) -> tuple[int, ...]:
        """Returns the ids that bans forbid. Raises ValueError for an unknown ban."""
        key = tuple(bans)
        if key not in self._banned:
            self._banned[key] = banned_ids(self.tokenizer, key, self.end_ids())
        return self._banned[key]

    def find_decision(self, choices: Sequence[str]) -> Decision | None:
        """Returns how one token decides between choices, or None if none does."""
        key = tuple(choices)
        if key not in self._decisions:
            self._decisions[key] = find_decision(self.tokenizer, key)
        return self._decisions[key]

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text alone, without the tokens that begin and end a prompt."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def show(self, ids: Sequence[int]) -> str:
        """Returns the text of tokens, including special ones; n equal image tokens are shown as one with `×n`."""
        shown: list[tuple[int | None, str]] = []
        for token, run in itertools.groupby(ids):
            count = len(list(run))
            if count > 3:
                shown.append((None, f"{self.tokenizer.decode([token])}×{count}"))
            else:
                shown.extend([(token, "")] * count)
        text = ""
        for plain, group in itertools.groupby(shown, key=lambda item: item[0] is not None):
            items = list(group)
            text += self.tokenizer.decode([item[0] for item in items]) if plain else "".join(item[1] for item in items)
        return text


def _match_any(words: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if len(word) > 1))

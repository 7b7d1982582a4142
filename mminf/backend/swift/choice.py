"""Choices that one token decides: their common prefix is added to the prompt, and only that token is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WANTED = 20
"""Number of top tokens that are requested to get the probability of every choice (vLLM's limit)."""


class TokenLogprob(TypedDict):
    """A token's log-probability in OpenAI's protocol."""

    token: str
    logprob: float
    top_logprobs: NotRequired[Sequence[TokenLogprob] | None]


@dataclass(frozen=True, slots=True)
class Decision:
    """A constrained answer that one token decides.

    Attributes:
        prefix: token ids of the common prefix of all choices; they are appended to the prompt.
        tokens: id of the next token of each choice.
        texts: the choices by the text of that token.
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    texts: Mapping[str, str]

    def read(self, answer: str) -> str | None:
        """Returns the choice that an answer of one token selects, or None."""
        return self.texts.get(answer.strip())

    def chances(self, content: Sequence[TokenLogprob]) -> tuple[float, ...] | None:
        """Returns the log-probability of each choice, normalised over the choices, from the logprobs of the token.

        A choice that is not among the top tokens gets minus infinity. None if no choice is among them.
        """
        if not content:
            return None
        first = content[0]
        found: dict[str, float] = {}
        for token in (*(first.get("top_logprobs") or ()), first):
            choice = self.read(str(token["token"]))
            if choice is not None:
                found[choice] = max(found.get(choice, -math.inf), float(token["logprob"]))
        top = max(found.values(), default=-math.inf)
        if top == -math.inf:
            return None
        total = top + math.log(sum(math.exp(value - top) for value in found.values()))
        return tuple(found.get(choice, -math.inf) - total for choice in self.texts.values())


def find_decision(tokenizer: PreTrainedTokenizerBase, choices: Sequence[str]) -> Decision | None:
    """Returns how one token decides between choices, or None if it can't (one choice may be the start of another)."""
    ids = [tuple(tokenizer.encode(choice, add_special_tokens=False)) for choice in choices]
    if len(ids) < 2:
        return None
    same = 0
    while all(len(one) > same and one[same] == ids[0][same] for one in ids):
        same += 1
    if any(len(one) <= same for one in ids):
        return None
    tokens = tuple(one[same] for one in ids)
    texts = {str(tokenizer.decode([token])).strip(): choice for token, choice in zip(tokens, choices, strict=True)}
    # The texts must differ as well, because engines return text.
    if len(texts) < len(choices) or "" in texts:
        return None
    return Decision(ids[0][:same], tokens, texts)

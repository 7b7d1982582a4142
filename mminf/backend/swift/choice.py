"""Choices that hang on one token: only that one is drawn, and what they all begin with is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WANTED = 20
"""How many of the likeliest tokens are asked for where the chance of every choice is wanted (vLLM's limit)."""


class TokenLogprob(TypedDict):
    """A token's log-probability, as OpenAI's protocol has it."""

    token: str
    logprob: float
    top_logprobs: NotRequired[Sequence[TokenLogprob] | None]


@dataclass(frozen=True, slots=True)
class Decision:
    """A constrained answer that hangs on one token.

    Attributes:
        prefix: ids of the tokens that all choices begin with; they are put behind the prompt.
        tokens: id of the next token of each choice.
        texts: the choices by the text of that token.
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    texts: Mapping[str, str]

    def read(self, answer: str) -> str | None:
        """Returns the choice that an answer of one token stands for; None if for none."""
        return self.texts.get(answer.strip())

    def chances(self, content: Sequence[TokenLogprob]) -> tuple[float, ...] | None:
        """Returns the log-probability of each choice among the choices, from the logprobs of the one token.

        A choice that is not among the likeliest tokens gets minus infinity; None if none of them is.
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
    """Returns how choices can be told apart by one token, or None if they can't: one begins with another, say."""
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
    # Texts must differ, too, since engines answer with text.
    if len(texts) < len(choices) or "" in texts:
        return None
    return Decision(ids[0][:same], tokens, texts)

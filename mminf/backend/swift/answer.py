"""What an engine of ms-swift answers, in the parts that mminf reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mminf.backend.swift.choice import TokenLogprob

if TYPE_CHECKING:
    from swift.infer_engine.protocol import ChatCompletionResponse


FAILED = frozenset({"abort", "error"})
"""Finish reasons of requests that an engine ended without an answer (vLLM's `FinishReason`)."""


class Answer(NamedTuple):
    """An answer as the engine gives it: with the tokens that ended it, and with reasoning.

    Attributes:
        prompt_tokens, completion_tokens: as counted by the engine, with image tokens.
        tokens: log-probabilities of the sampled tokens, if they were asked for.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    tokens: Sequence[TokenLogprob] | None


def read_response(response: ChatCompletionResponse) -> Answer:
    """Returns the first choice of a response."""
    choice, usage = response.choices[0], response.usage
    return Answer(
        choice.message.content or "",
        choice.finish_reason or "stop",
        usage.prompt_tokens,
        usage.completion_tokens,
        choice.logprobs["content"] if choice.logprobs else None,
    )

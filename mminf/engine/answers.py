"""Converts model output to the form that steps see."""

from __future__ import annotations

import dataclasses

from mminf.media import break_tags
from mminf.reasoning import join_reasoning, split_reasoning
from mminf.request import Generation, Request


def separate(answer: Generation, request: Request) -> Generation:
    """Returns the answer with its reasoning separated, as the journal stores it.

    An answer whose reasoning is not closed is truncated. If there is reasoning, log-probabilities are left out: they
    can't be assigned to the two parts.
    """
    if answer.vector is not None:
        return answer
    parts = split_reasoning(answer.text, lambda: "\n".join(turn.text for turn in request.turns))
    if parts.reasoning is None:
        return answer
    thoughts = [thought for thought in (answer.reasoning, parts.reasoning) if thought]
    return dataclasses.replace(
        answer,
        text=parts.text,
        reasoning="\n\n".join(thoughts),
        finish_reason=answer.finish_reason if parts.complete or answer.finish_reason != "stop" else "length",
        logprobs=None,
    )


def present(answer: Generation, reasoning: str) -> Generation:
    """Returns the answer as steps see it: its media tags are broken.

    Args:
        reasoning: the engine's setting; `keep` puts the reasoning before the answer.
    """
    text = join_reasoning(answer.text, answer.reasoning) if reasoning == "keep" else answer.text
    broken = break_tags(text)
    thought = None if answer.reasoning is None else break_tags(answer.reasoning)
    if broken == answer.text and thought == answer.reasoning:
        return answer
    return dataclasses.replace(answer, text=broken, reasoning=thought)

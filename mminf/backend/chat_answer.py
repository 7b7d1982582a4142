"""Parses answers in OpenAI's chat protocol."""

from __future__ import annotations

import math
from typing import Any

from mminf.backend.wire import whole_number
from mminf.errors import RequestError
from mminf.redact import hide_secrets
from mminf.request import Generation

_STOP = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "complete", "finished"})
_LENGTH = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
"""Values of `finish_reason` of servers and gateways for a complete answer, and for one that was cut off."""


class NoAnswerError(ValueError):
    """A body without an answer; a retry may succeed."""


def read_answer(answer: Any) -> Generation:
    """Parses a server's answer.

    Raises:
        RequestError: if the model refused, or the server withheld the answer; a retry would not help.
        NoAnswerError: if it contains no answer.
    """
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        finish_reason = _finish_reason(choice.get("finish_reason"))
        # Servers that separate the reasoning use one of these names.
        reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
        content = message.get("content")
        if refusal := message.get("refusal"):
            raise RequestError(f"the model refused: {str(refusal)[:200]}")
        if not content:
            _check_kept_back(message, finish_reason)
        if content is None and not reasoning:
            raise NoAnswerError(f"the server's answer has no text: {_show(answer)}")
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        return Generation(
            text=hide_secrets(_text(content)),
            finish_reason=finish_reason,
            prompt_tokens=whole_number(usage.get("prompt_tokens")),
            completion_tokens=whole_number(usage.get("completion_tokens")),
            logprobs=_logprobs(choice.get("logprobs")),
            reasoning=hide_secrets(reasoning) or None,
        )
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise NoAnswerError(f"the server's answer has no text: {_show(answer)}") from error


def _check_kept_back(message: dict[str, Any], finish_reason: str) -> None:
    if finish_reason == "content_filter":
        raise RequestError("the server's content filter withheld the answer")
    if message.get("tool_calls") or message.get("function_call"):
        raise RequestError("the model called a tool instead of answering")


def _finish_reason(value: Any) -> str:
    """Returns `stop` or `length` for a server's equivalents, and any other value unchanged."""
    if value is None or value == "":
        return "stop"  # some servers send none
    said = str(value).lower().rpartition(".")[2]
    return "stop" if said in _STOP else "length" if said in _LENGTH else said[:40]


def _text(content: Any) -> str:
    """Returns the text of a content, which some servers send as a list of parts."""
    if isinstance(content, list):
        return "".join(map(_part, content))
    if content is None or isinstance(content, str):
        return content or ""
    raise NoAnswerError(f"the server's answer is {type(content).__name__}, not text")


def _part(part: Any) -> str:
    """Returns the text of a part of an answer; empty for reasoning and for parts without text."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    return str(part.get("text") or "")


def _logprobs(found: Any) -> tuple[float, ...] | None:
    """Returns the log-probabilities of the tokens, or None if any of them is missing."""
    tokens = found.get("content") if isinstance(found, dict) else None
    if not isinstance(tokens, list) or not tokens:
        return None
    values = [token.get("logprob") if isinstance(token, dict) else None for token in tokens]
    numbers = [float(value) for value in values if isinstance(value, int | float) and not math.isnan(value)]
    return tuple(numbers) if len(numbers) == len(values) else None


def _show(answer: Any) -> str:
    return hide_secrets(str(answer))[:200]

"""Draws tokens row by row, each row from its own seed; used by the transformers backend and inside vLLM's process.

A row's token depends only on its logits, its seed and the number of tokens that it has generated so far. It does not
depend on the other rows of the batch, or on whether the request was interrupted and resumed.

This module imports torch and numpy only, because vLLM's engine process loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch

_NEVER = float("-inf")
_COLDEST = 0.01  # vLLM's lower limit of the temperature; below it, logits overflow
_BLOCK = 64
_PASS = 2**16  # logits per pass: on a CPU, larger intermediate results take several times as long
_ROWS_CPU, _ROWS_GPU = 4, 32  # at least this many rows per pass; intermediate results take up to 40 bytes per logit
_TIES = 12  # tokens to read beyond the first `top_k`: they may be as likely as the last one


@dataclass(frozen=True, slots=True)
class Rules:
    """How a row's token is drawn. Names and meanings are vLLM's; the defaults are neutral."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


class Uniforms:
    """The random numbers of a row, in [0, 1). Number n depends only on the seed and on n.

    Args:
        seed: a non-negative integer.
    """

    def __init__(self, seed: int) -> None:
        self._stream = numpy.random.Generator(numpy.random.Philox(seed))
        self._drawn: list[float] = []

    def __getitem__(self, number: int) -> float:
        while number >= len(self._drawn):
            self._drawn.extend(self._stream.random(_BLOCK).tolist())
        return self._drawn[number]


def draw(logits: torch.Tensor, rules: Rules, uniforms: Sequence[float]) -> torch.Tensor:
    """Returns logits with 0 for the drawn token of each row, and minus infinity for all other tokens.

    Temperature, min-p, top-k and top-p apply in this order, as in vLLM; min-p compares tokens with the likeliest one,
    so that top-k can come first. A row without an allowed token is returned unchanged.

    Args:
        logits: [rows, vocabulary], after penalties and bans.
        rules: how tokens are drawn.
        uniforms: one number in [0, 1) per row.
    """
    numbers = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None]
    rows = max(_ROWS_CPU if logits.device.type == "cpu" else _ROWS_GPU, _PASS // logits.shape[-1])
    parts = zip(logits.split(rows), numbers.split(rows), strict=True)
    return torch.cat([_draw_part(part, rules, points) for part, points in parts])


def _draw_part(logits: torch.Tensor, rules: Rules, uniforms: torch.Tensor) -> torch.Tensor:
    scores, tokens = allowed(logits.float() / max(rules.temperature, _COLDEST), rules)
    # In the order of the vocabulary, not of probability. Rounding differs with a batch's padding: here it moves
    # a boundary slightly, but in the order of probability it would swap tokens of nearly equal probability.
    cumulative = scores.softmax(-1).double().cumsum(-1)
    total = cumulative[:, -1:].contiguous()
    last = torch.searchsorted(cumulative, total)  # the last token that can be drawn; rounding may exceed it
    drawn = torch.searchsorted(cumulative, uniforms * total, right=True).minimum(last)
    drawn = drawn.clamp(max=scores.shape[-1] - 1)  # NaN has no place in its row
    if tokens is not None:
        drawn = tokens.gather(-1, drawn)
    kept = torch.full_like(logits, _NEVER).scatter_(1, drawn, 0.0)
    empty = total.isnan()
    # On a GPU, `any` would wait for the device.
    return kept if logits.device.type == "cpu" and not empty.any() else torch.where(empty, logits, kept)


def allowed(logits: torch.Tensor, rules: Rules) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns the logits of tokens in the order of the vocabulary, minus infinity for those that may not be drawn.

    Args:
        logits: [rows, vocabulary], divided by the temperature.

    Returns:
        [rows, n], and the ids of these tokens [rows, n]; None for the whole vocabulary. Other tokens may not be drawn.
    """
    if 0 < rules.top_k < logits.shape[-1]:
        scores, tokens = _likeliest(logits, rules.top_k)
        return _truncate(scores, rules), tokens
    return _truncate(logits, rules), None


def _likeliest(logits: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the logits of the likeliest tokens, and these tokens in the order of the vocabulary.

    Tokens that are as likely as the last one are included. The logits of less likely ones are minus infinity.
    """
    size = logits.shape[-1]
    scores, tokens = logits.topk(min(size, number + _TIES), dim=-1)
    least = scores[:, number - 1 : number]
    if scores.shape[-1] < size and ((scores[:, -1:] >= least) & (least > _NEVER)).any():
        tied = (logits >= least) & (logits > _NEVER)
        scores, tokens = logits.topk(max(number, int(tied.sum(-1).max())), dim=-1)
    tokens, order = tokens.sort(-1)
    scores = scores.gather(-1, order)
    return scores.masked_fill(scores < least, _NEVER), tokens


def _truncate(logits: torch.Tensor, rules: Rules) -> torch.Tensor:
    if rules.min_p > 0:
        probabilities = logits.softmax(-1)
        likeliest = probabilities.amax(-1, keepdim=True)
        logits = logits.masked_fill(probabilities < rules.min_p * likeliest, _NEVER)
    if rules.top_p < 1:
        ordered, order = torch.sort(logits, dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        cut = torch.zeros_like(before, dtype=torch.bool).scatter_(1, order, before >= rules.top_p)
        logits = logits.masked_fill(cut, _NEVER)
    return logits


def penalize_repetition(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Returns logits with the repetition penalty on the tokens that are in the prompt or in the output.

    Args:
        logits: [rows, vocabulary].
        seen: [rows, vocabulary], boolean.
        penalty: values above 1 make these tokens less likely.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def penalize_output(logits: torch.Tensor, counts: torch.Tensor, frequency: float, presence: float) -> torch.Tensor:
    """Returns logits with frequency and presence penalties, as OpenAI and vLLM define them.

    Args:
        logits: [rows, vocabulary].
        counts: [rows, vocabulary], how often the output has each token.
        frequency: subtracted per occurrence.
        presence: subtracted once.
    """
    return logits - frequency * counts - presence * (counts > 0)

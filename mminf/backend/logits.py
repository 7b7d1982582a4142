"""Logits processors for the transformers backend: what ms-swift's RequestConfig can't say, row by row.

Every row of a batch is drawn with its own seed, so a record's answer does not depend on who shares its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers import LogitsProcessor

if TYPE_CHECKING:
    import torch

    from mminf.request import Sampling

_NEVER = float("-inf")


class BanTokens(LogitsProcessor):
    """Forbids tokens.

    Args:
        ids: token ids.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, [i for i in self.ids if i < scores.shape[-1]]] = _NEVER
        return scores


class PenalizeOutput(LogitsProcessor):
    """Frequency and presence penalties over the tokens generated so far, as OpenAI and vLLM define them."""

    def __init__(self, frequency: float, presence: float) -> None:
        self.frequency = frequency
        self.presence = presence
        self.start: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.start is None:
            self.start = input_ids.shape[1]
        counts = scores.new_zeros(scores.shape)
        new = input_ids[:, self.start :]
        if new.shape[1]:
            counts.scatter_add_(1, new, scores.new_ones(new.shape))
        return scores - self.frequency * counts - self.presence * (counts > 0)


class OnlyChoices(LogitsProcessor):
    """Lets each row write one of a few texts, and then end.

    Args:
        choices: token ids of each text.
        ends: ids that end a turn.
    """

    def __init__(self, choices: Sequence[Sequence[int]], ends: Sequence[int]) -> None:
        self.choices = [list(choice) for choice in choices]
        self.ends = list(ends)
        self.start: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        if self.start is None:
            self.start = input_ids.shape[1]
        allowed = torch.full_like(scores, _NEVER)
        for row, written in enumerate(input_ids[:, self.start :].tolist()):
            done = len(written)
            nexts = {choice[done] for choice in self.choices if len(choice) > done and choice[:done] == written}
            if not nexts or written in self.choices:
                nexts |= set(self.ends)
            allowed[row, list(nexts)] = 0
        return scores + allowed


class DrawRows(LogitsProcessor):
    """Draws each row's token with that row's own seed, and leaves only that token.

    Temperature, top-k, top-p and min-p are applied here, in vLLM's order, so that generation itself may be greedy.

    Args:
        sampling: how tokens are drawn.
        seeds: one a row.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        import numpy

        self.sampling = sampling
        self.streams = [numpy.random.Generator(numpy.random.Philox(seed)) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        probabilities = self._truncate(scores.float() / self.sampling.temperature).softmax(-1)
        # In the order of the vocabulary, not of likelihood: rounding that differs with a batch's padding then moves
        # a boundary a little, where it would swap whole tokens of nearly equal likelihood.
        cumulative = probabilities.double().cumsum(-1)
        uniform = torch.tensor([[stream.random()] for stream in self.streams], dtype=torch.float64)
        points = uniform.to(scores.device) * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, points, right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, _NEVER).scatter_(1, drawn, 0.0)

    def _truncate(self, logits: torch.Tensor) -> torch.Tensor:
        import torch

        sampling = self.sampling
        if sampling.top_k is not None and 0 < sampling.top_k < logits.shape[-1]:
            least = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
            logits = logits.masked_fill(logits < least, _NEVER)
        if sampling.top_p is not None and sampling.top_p < 1:
            ordered, order = torch.sort(logits, dim=-1, descending=True, stable=True)
            probabilities = ordered.softmax(-1)
            before = probabilities.cumsum(-1) - probabilities
            cut = torch.zeros_like(before, dtype=torch.bool).scatter_(1, order, before >= sampling.top_p)
            logits = logits.masked_fill(cut, _NEVER)
        if sampling.min_p:
            probabilities = logits.softmax(-1)
            likeliest = probabilities.amax(-1, keepdim=True)
            logits = logits.masked_fill(probabilities < sampling.min_p * likeliest, _NEVER)
        return logits


def processors(
    sampling: Sampling,
    seeds: Sequence[int],
    banned: Sequence[int],
    choices: Sequence[Sequence[int]],
    ends: Sequence[int],
) -> list[Any]:
    """Returns the processors for a batch, in the order in which they apply."""
    made: list[Any] = []
    if sampling.frequency_penalty or sampling.presence_penalty:
        made.append(PenalizeOutput(sampling.frequency_penalty, sampling.presence_penalty))
    if banned:
        made.append(BanTokens(banned))
    if choices:
        made.append(OnlyChoices(choices, ends))
    if sampling.temperature > 0:
        made.append(DrawRows(sampling, seeds))
    return made

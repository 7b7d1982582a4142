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

        logits = scores.float() / self.sampling.temperature
        ordered, order = torch.sort(logits, dim=-1, descending=True, stable=True)
        probabilities = self._truncate(ordered).softmax(-1)
        cumulative = probabilities.cumsum(-1)
        uniform = [stream.random() for stream in self.streams]
        # A draw just below 1 must not fall behind the last token that is left.
        points = torch.tensor(uniform, device=scores.device, dtype=cumulative.dtype)[:, None] * cumulative[:, -1:]
        rank = torch.searchsorted(cumulative, points, right=True)
        last = (probabilities > 0).sum(-1, keepdim=True) - 1
        drawn = order.gather(1, torch.minimum(rank, last))
        return torch.full_like(scores, _NEVER).scatter_(1, drawn, 0.0)

    def _truncate(self, ordered: torch.Tensor) -> torch.Tensor:
        sampling = self.sampling
        if sampling.top_k is not None and 0 < sampling.top_k < ordered.shape[-1]:
            ordered[:, sampling.top_k :] = _NEVER
        if sampling.top_p is not None and sampling.top_p < 1:
            probabilities = ordered.softmax(-1)
            before = probabilities.cumsum(-1) - probabilities
            ordered = ordered.masked_fill(before >= sampling.top_p, _NEVER)
        if sampling.min_p:
            probabilities = ordered.softmax(-1)
            ordered = ordered.masked_fill(probabilities < sampling.min_p * probabilities[:, :1], _NEVER)
        return ordered


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

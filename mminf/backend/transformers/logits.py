"""Logits processors for the transformers backend: settings per row, which ms-swift's RequestConfig lacks.

Every row of a batch is drawn with its own seed, so a record's answer does not depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformers import LogitsProcessor

from mminf.backend.draw import Rules, Uniforms, draw, penalize_output
from mminf.request import explicit_sampling

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
        return penalize_output(scores, counts, self.frequency, self.presence)


class OnlyChoices(LogitsProcessor):
    """Restricts each row to one of several texts, and then to an end token.

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

    Temperature, min-p, top-k and top-p are applied here, in vLLM's order, so that generation itself may be greedy.

    Args:
        sampling: how tokens are drawn.
        seeds: one per row.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        spelled = explicit_sampling(sampling)
        self.rules = Rules(sampling.temperature, int(spelled["top_k"]), spelled["top_p"], spelled["min_p"])
        self.streams = [Uniforms(seed) for seed in seeds]
        self.start: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.start is None:
            self.start = input_ids.shape[1]
        done = input_ids.shape[1] - self.start
        return draw(scores, self.rules, [stream[done] for stream in self.streams])


def processors(
    sampling: Sampling,
    seeds: Sequence[int],
    banned: Sequence[int],
    choices: Sequence[Sequence[int]],
    ends: Sequence[int],
) -> list[LogitsProcessor]:
    """Returns the processors for a batch, in the order in which they apply."""
    made: list[LogitsProcessor] = []
    if sampling.frequency_penalty or sampling.presence_penalty:
        made.append(PenalizeOutput(sampling.frequency_penalty, sampling.presence_penalty))
    if banned:
        made.append(BanTokens(banned))
    if choices:
        made.append(OnlyChoices(choices, ends))
    if sampling.temperature > 0:
        made.append(DrawRows(sampling, seeds))
    return made

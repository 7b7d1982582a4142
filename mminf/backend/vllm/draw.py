"""A vLLM V1 logits processor that draws the tokens of seeded requests; loaded by name inside vLLM's engine process.

On a CPU vLLM can't use its own generators: it rewinds a request's generator when the request is rescheduled (partial
prefill, preemption, encoder budget), and a CPU generator has no offset to rewind, which crashes the engine ("CPU
Generator does not use offset", vLLM 0.32). Here a token depends on the request's seed and the number of tokens that it
has generated, so there is nothing to rewind. vLLM itself decodes greedily, and only the drawn token is left.

Log-probabilities are taken from the raw logits (`logprobs_mode` must begin with `raw`). Structured outputs,
`allowed_token_ids` and `min_tokens` are already masked in the logits. vLLM applies penalties after the logits
processors, so for a drawn request they are applied here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from mminf.backend.draw import Rules, Uniforms, draw, penalize_output, penalize_repetition

if TYPE_CHECKING:
    from vllm.config import VllmConfig

ARGUMENT = "mminf_draw"
# Settings for vLLM itself, so that it does not draw, penalize or truncate a second time.
GREEDY: dict[str, float | None] = {
    "temperature": 0.0,
    "seed": None,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """Settings of a request; requests that share an object are drawn together."""

    rules: Rules
    repetition: float
    frequency: float
    presence: float

    @property
    def counts_tokens(self) -> bool:
        return self.repetition != 1 or self.frequency != 0 or self.presence != 0


@dataclass(frozen=True, slots=True)
class Row:
    """A request in the batch.

    Attributes:
        settings: how its tokens are drawn.
        uniforms: its random numbers.
        prompt: token ids of the prompt, those of images included.
        output: token ids generated so far; vLLM appends to this list.
    """

    settings: Settings
    uniforms: Uniforms
    prompt: Sequence[int]
    output: Sequence[int]


def arguments(
    seed: int,
    *,
    temperature: float,
    top_k: float = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    frequency_penalty: float = 0.0,
    presence_penalty: float = 0.0,
) -> dict[str, object]:
    """Returns the `extra_args` of a request that is drawn here."""
    rules = [temperature, int(top_k), top_p, min_p]
    return {ARGUMENT: [seed, rules, repetition_penalty, frequency_penalty, presence_penalty]}


def _row(params: SamplingParams, prompt: list[int] | None, output: list[int]) -> Row | None:
    """Returns the state of a request that is drawn here, or None."""
    asked = (params.extra_args or {}).get(ARGUMENT)
    if asked is None:
        return None
    seed, rules, *penalties = asked
    return Row(_settings(*rules, *penalties), Uniforms(seed), prompt or (), output)


@lru_cache(1024)
def _settings(
    temperature: float, top_k: int, top_p: float, min_p: float, repetition: float, frequency: float, presence: float
) -> Settings:
    """Returns one object for equal settings, so that rows are grouped without comparing them at each step."""
    return Settings(Rules(temperature, top_k, top_p, min_p), repetition, frequency, presence)


class DrawTokens(LogitsProcessor):
    """Draws a token for each row with `extra_args["mminf_draw"]`, and masks all other tokens.

    It must come after all processors that forbid tokens.
    """

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self.device = device
        self.rows: dict[int, Row] = {}
        self.groups: list[tuple[Settings, list[int]]] = []

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if not process_dict_updates(self.rows, batch_update, _row):
            return
        groups: dict[Settings, list[int]] = {}
        for index, row in self.rows.items():
            groups.setdefault(row.settings, []).append(index)
        self.groups = list(groups.items())

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        for settings, indices in self.groups:
            rows = [self.rows[index] for index in indices]
            place = torch.tensor(indices, device=logits.device)
            scores = logits[place]
            if settings.counts_tokens:
                scores = _penalize(scores, settings, rows)
            # The length includes tokens whose ids are not known yet (-1, asynchronous scheduling).
            logits[place] = draw(scores, settings.rules, [row.uniforms[len(row.output)] for row in rows])
        return logits


def _penalize(logits: torch.Tensor, settings: Settings, rows: Sequence[Row]) -> torch.Tensor:
    counts = torch.stack([_count(row.output, logits) for row in rows])
    if settings.repetition != 1:
        seen = torch.stack([_count(row.prompt, logits) for row in rows]) + counts > 0
        logits = penalize_repetition(logits, seen, settings.repetition)
    return penalize_output(logits, counts, settings.frequency, settings.presence)


def _count(ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """Returns how often each token of the vocabulary is among ids; ids outside it do not count."""
    size = logits.shape[-1]
    known = torch.tensor([i for i in ids if 0 <= i < size], dtype=torch.long, device=logits.device)
    return known.bincount(minlength=size).to(logits.dtype)

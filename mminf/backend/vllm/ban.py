"""A vLLM V1 logits processor that forbids tokens; loaded by name inside vLLM's engine process.

vLLM V1 has no processors per request. A processor for the whole engine reads `SamplingParams.extra_args` (vLLM docs,
"Logits Processors"). Rows with the same ban share one mask, so each step costs one indexed write per ban.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

if TYPE_CHECKING:
    from vllm.config import VllmConfig

ARGUMENT = "mminf_banned"


def _banned(params: SamplingParams, *_: object) -> tuple[int, ...] | None:
    """Returns the token ids that a request forbids, or None."""
    return tuple((params.extra_args or {}).get(ARGUMENT, ())) or None


class BanTokens(LogitsProcessor):
    """Sets the logits of the ids in `extra_args["mminf_banned"]` to minus infinity."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self.device = device
        self.bans: dict[int, tuple[int, ...]] = {}
        self.tensors: dict[tuple[int, ...], torch.Tensor] = {}
        self.groups: list[tuple[torch.Tensor, torch.Tensor]] = []

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if process_dict_updates(self.bans, batch_update, _banned):
            self._regroup()

    def _regroup(self) -> None:
        rows: dict[tuple[int, ...], list[int]] = {}
        for index, banned in self.bans.items():
            rows.setdefault(banned, []).append(index)
        self.groups = [
            (torch.tensor(indices, device=self.device)[:, None], self._tensor(banned))
            for banned, indices in rows.items()
        ]

    def _tensor(self, banned: tuple[int, ...]) -> torch.Tensor:
        if banned not in self.tensors:
            self.tensors[banned] = torch.tensor(banned, device=self.device)
        return self.tensors[banned]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        for rows, banned in self.groups:
            logits[rows, banned[banned < logits.shape[-1]]] = float("-inf")  # tokenizers may have more ids than models
        return logits

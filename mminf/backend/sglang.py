"""`sglang`: SGLang through ms-swift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mminf.backend.base import backend
from mminf.backend.swift import SwiftBackend, SwiftConfig
from mminf.request import Sampling

if TYPE_CHECKING:
    from swift.infer_engine import SglangEngine

SHARE = 0.8  # of a GPU's memory that it takes by default, approximately


class SglangConfig(SwiftConfig):
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share the weights.")


@backend("sglang")
class SglangBackend(SwiftBackend):
    """SGLang through ms-swift."""

    config: SglangConfig
    Config = SglangConfig
    spawns = True
    module = "sglang"
    install_hint = "install it as described in its documentation, or set the engine's `backend` to another one"

    def _make_engine(self) -> SglangEngine:
        from swift.infer_engine import SglangEngine

        return SglangEngine(
            self._folder, tp_size=self.config.tensor_parallel_size, **self._common(), **self.config.options
        )

    def memory(self) -> dict[str, float]:
        return dict.fromkeys(self._devices(), SHARE)

    def unsupported(self, sampling: Sampling) -> list[str]:
        return [name for name in ("ban", "min_tokens", "choices") if getattr(sampling, name)]

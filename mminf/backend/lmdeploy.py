"""`lmdeploy`: LMDeploy through ms-swift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mminf.backend.base import backend
from mminf.backend.swift import SwiftBackend, SwiftConfig
from mminf.request import Sampling

if TYPE_CHECKING:
    from swift.infer_engine import LmdeployEngine

SHARE = 0.8  # of a GPU's memory that it takes by default, approximately


class LmdeployConfig(SwiftConfig):
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share the weights.")


@backend("lmdeploy")
class LmdeployBackend(SwiftBackend):
    """LMDeploy through ms-swift."""

    config: LmdeployConfig
    Config = LmdeployConfig
    module = "lmdeploy"
    install_hint = "install it with `pip install lmdeploy`, or set the engine's `backend` to another one"

    def _make_engine(self) -> LmdeployEngine:
        from swift.infer_engine import LmdeployEngine

        names = self._devices() if self.config.replicas > 1 else ()
        return LmdeployEngine(
            self._folder,
            devices=[int(name.removeprefix("cuda:")) for name in names if name != "cpu"] or None,
            tp=self.config.tensor_parallel_size,
            **self._common(),
            **self.config.options,
        )

    def memory(self) -> dict[str, float]:
        return dict.fromkeys(self._devices(), SHARE)

    def unsupported(self, sampling: Sampling) -> list[str]:
        return [name for name in ("ban", "min_tokens", "choices") if getattr(sampling, name)]

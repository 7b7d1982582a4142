"""Settings of ms-swift's engines in recipes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mminf.recipe.config import EngineConfig


class SwiftConfig(EngineConfig):
    """Settings of all backends on ms-swift."""

    template: str | None = Field(None, description="ms-swift template type, if the model matches several.")
    model_type: str | None = Field(None, description="ms-swift model type, if it can't be detected.")
    revision: str | None = Field(None, description="Revision of the model on its hub.")
    adapters: list[str] = Field(default_factory=list, description="LoRA adapters.")
    torch_dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="Type of the weights; default: the model's."
    )
    max_pixels: int | None = Field(None, ge=1, description="Larger images are scaled down to this number of pixels.")
    replicas: int = Field(1, ge=1, description="Copies of the model, each on its own GPUs; they share the calls.")
    max_model_len: int | None = Field(
        None, ge=1, description="Context length in tokens; default: the model's, with vLLM at most 32,768."
    )
    trust_remote_code: bool = Field(False, description="Run remote code: Python code in the model's repository.")
    options: dict[str, Any] = Field(default_factory=dict, description="Further arguments of ms-swift's engine class.")

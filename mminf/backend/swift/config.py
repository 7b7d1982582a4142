"""What a recipe may set of an engine of ms-swift."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mminf.recipe.config import EngineConfig


class SwiftConfig(EngineConfig):
    """Settings of all backends on ms-swift."""

    template: str | None = Field(None, description="ms-swift template type, where the model fits several.")
    model_type: str | None = Field(None, description="ms-swift model type, where it can't be told from the model.")
    revision: str | None = Field(None, description="Revision on the hub.")
    adapters: list[str] = Field(default_factory=list, description="LoRA adapters.")
    torch_dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="The model's own by default."
    )
    max_pixels: int | None = Field(None, ge=1, description="Larger images are scaled down to so many pixels.")
    replicas: int = Field(1, ge=1, description="Copies of the model, each on GPUs of its own, that share the calls.")
    max_model_len: int | None = Field(None, ge=1, description="Context length in tokens.")
    trust_remote_code: bool = Field(False, description="Let the model's repository run its own Python code.")
    options: dict[str, Any] = Field(default_factory=dict, description="More arguments of ms-swift's engine class.")

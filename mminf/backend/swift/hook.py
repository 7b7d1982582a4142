"""Hooks change generation settings that ms-swift's requests don't have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from swift.template import StdTemplateInputs
    from transformers import GenerationConfig
    from vllm.sampling_params import SamplingParams


class Arguments(TypedDict, total=False):
    """The arguments of an engine's generation.

    Attributes:
        template_inputs: the requests of a batch (transformers).
        inputs: arguments of `generate` (transformers).
        generation_config: the settings, in the type of the engine's library.
    """

    template_inputs: list[StdTemplateInputs]
    inputs: dict[str, object]
    generation_config: GenerationConfig | SamplingParams


Hook = Callable[[Arguments], Arguments]
"""Called by ms-swift before a generation; returns the arguments to use."""

"""What changes an engine's generation where ms-swift's requests can't say it."""

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
        generation_config: the settings, as the engine's library has them.
    """

    template_inputs: list[StdTemplateInputs]
    inputs: dict[str, object]
    generation_config: GenerationConfig | SamplingParams


Hook = Callable[[Arguments], Arguments]
"""What ms-swift calls before a generation; returns the arguments to use."""

"""Scales images to the size that a model's image processor wants, with the processor's own resize.

ms-swift's templates of Qwen-VL models resize every image with Pillow for every call, which takes several times as long
as the processor's own resize and gives slightly different pixels. An image that already has the right size passes both
unchanged. For other processors, images are only scaled down to `max_pixels`, and the model's processor does the rest.
"""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mminf.backend.swift.fitted import wrap

if TYPE_CHECKING:
    from PIL import Image
    from swift.template import Template

log = logging.getLogger("mminf")
# Pillow's pixels can't be written, and nothing writes into the tensor.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

_KNOWN = frozenset({"Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast"})
"""Image processors whose sizes are multiples of a factor between two numbers of pixels."""
_TEMPLATE = "Qwen2VLTemplate"
"""Class of the templates that scale images themselves, and then tell vLLM not to."""
_PROBE = (97, 61)

KEEP_SIZE = {"min_pixels": 1, "max_pixels": sys.maxsize}
"""Arguments with which ms-swift's template leaves images as they are."""


@dataclass(frozen=True, slots=True)
class ProcessorFit:
    """Scales images as an image processor does.

    Attributes:
        factor: width and height become multiples of it.
        low, high: smallest and largest number of pixels.
        processor: its `resize` makes the pixels.
    """

    factor: int
    low: int
    high: int
    processor: Any = field(compare=False, repr=False)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Returns the image in the processor's size. Raises ValueError if it is more than 200 times as wide as high."""
        import numpy as np
        import torch
        from transformers.image_utils import SizeDict

        pixels = torch.from_numpy(np.asarray(image)).permute(2, 0, 1)
        size = SizeDict(shortest_edge=self.low, longest_edge=self.high)
        return wrap(
            self.processor.resize(pixels[None], size=size, resample=self.processor.resample, factor=self.factor)[0]
        )


def find_fit(template: Template, max_pixels: int | None) -> ProcessorFit | None:
    """Returns how images are scaled for a model, or None if its processor or its template is not known.

    Args:
        template: the model's ms-swift template.
        max_pixels: the engine's setting; it replaces the processor's largest number of pixels.
    """
    images: Any = getattr(template.processor, "image_processor", None)
    if _TEMPLATE not in _classes(template) or not _classes(images) & _KNOWN or not images.do_resize:
        return None
    try:
        high = max_pixels or int(images.size["longest_edge"])
        low = min(int(images.size["shortest_edge"]), high)
        fit = ProcessorFit(int(images.patch_size * images.merge_size), low, high, images)
        return fit if _agrees(fit) else None
    except Exception:  # another version of the processor, with other names or arguments
        log.debug("images are not scaled for %s", type(images).__name__, exc_info=True)
        return None


def _classes(found: object) -> set[str]:
    return {kind.__name__ for kind in type(found).__mro__}


def _agrees(fit: ProcessorFit) -> bool:
    """Returns whether a scaled image gives the pixels that the processor makes of the original."""
    import torch
    from PIL import Image

    probe = Image.radial_gradient("L").resize(_PROBE).convert("RGB")
    size = {"shortest_edge": fit.low, "longest_edge": fit.high}
    wanted = fit.processor(images=[probe], size=size, return_tensors="pt")
    given = fit.processor(images=[fit(probe)], do_resize=False, return_tensors="pt")
    return all(torch.equal(wanted[name], given[name]) for name in ("pixel_values", "image_grid_thw"))

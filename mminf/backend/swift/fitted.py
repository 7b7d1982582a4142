"""An image in the form of a tensor, which Pillow's form is made of only if something asks for it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL import Image


def wrap(pixels: torch.Tensor) -> Image.Image:
    """Returns an RGB image that is its own copy, so that conversions and resizes that change nothing cost nothing.

    Args:
        pixels: (3, height, width), 8 bit. Nothing may write into it.
    """
    return _fitted_image()(pixels)


def unwrap(image: Image.Image) -> torch.Tensor | Image.Image:
    """Returns the tensor of an image that `wrap` returned, and other images as they are."""
    return getattr(image, "pixels", image)


@cache
def _fitted_image() -> Any:
    from PIL import Image as Pillow

    class FittedImage(Pillow.Image):  # type: ignore[misc]
        """ms-swift copies, converts and resizes an image several times on its way to the model."""

        def __init__(self, pixels: torch.Tensor) -> None:
            super().__init__()
            self.pixels = pixels
            self._mode, self._size = "RGB", (int(pixels.shape[2]), int(pixels.shape[1]))
            self._made: Any = None

        @property
        def im(self) -> Any:
            if self._made is None:
                self._made = Pillow.fromarray(self.pixels.permute(1, 2, 0).contiguous().numpy()).im
            return self._made

        @im.setter
        def im(self, im: Any) -> None:
            self._made = im

        def load(self) -> Any:
            return self.im.pixel_access(self.readonly)

        def copy(self) -> FittedImage:
            return self

        def __deepcopy__(self, memo: object) -> FittedImage:
            return self

        def convert(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Any:
            return self if mode in (None, self.mode) else super().convert(mode, *args, **kwargs)

        def resize(self, size: Any, *args: Any, **kwargs: Any) -> Any:
            whole = kwargs.get("box") is None and len(args) < 2
            return self if whole and tuple(size) == self.size else super().resize(size, *args, **kwargs)

    return FittedImage

"""Makes small copies of images, for people to look at."""

from __future__ import annotations

import io

from mminf.errors import ImageError, shorten_text
from mminf.image.decode import decode_image
from mminf.image.policy import ImagePolicy, is_url
from mminf.image.read import read_image

_QUALITY = 70


def make_preview(uri: str, policy: ImagePolicy, side: int) -> bytes:
    """Returns an image as a JPEG file that is at most `side` pixels wide and high.

    The file is encoded again from the pixels, so it contains nothing else of the original.

    Raises:
        ImageError: if the image is missing, broken or not allowed, or is on the web; such images are not fetched.
    """
    if is_url(uri):
        raise ImageError(f"not fetched: {shorten_text(uri, 80)}")
    image = decode_image(read_image(uri, policy), uri, policy.max_pixels).pixels
    image.thumbnail((side, side))
    image.info = {}  # Pillow would write the comment and the colour profile of the file
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()

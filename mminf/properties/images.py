"""Sizes, aspect ratios and duplicates of images."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, OrderedDict
from pathlib import Path
from typing import NamedTuple, TypeAlias

from mminf.errors import ImageError, shorten_text
from mminf.image import ImagePolicy, embedded_bytes, local_path, measure_image, read_image
from mminf.limits import IMAGE_BYTES
from mminf.properties.duplicates import Distinct, NearImages
from mminf.properties.figures import Exact, Images, Problems, Share
from mminf.properties.numbers import Numbers, count_bins
from mminf.properties.rows import ImageValue
from mminf.storage import is_remote

ASPECTS = (0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 0.95, 1.05, 5 / 4, 3 / 2, 2, 3, 4)
"""Lower edges of the bins of width / height. The bin around 1 contains squares."""
_POLICY = ImagePolicy(roots=None)
_CACHED = 65_536


class Facts(NamedTuple):
    """An image that was read.

    Attributes:
        digest: of the file's content.
        phash: perceptual hash.
    """

    width: int
    height: int
    digest: bytes
    phash: int


class Unread(NamedTuple):
    """An image that was not read: `missing`, `broken` or `remote`, and why."""

    kind: str
    reason: str


Found: TypeAlias = Facts | Unread


class ImageReader:
    """Reads the image files that rows name; the results of the last 65,536 paths are cached.

    Images at URLs and in stores are not fetched.

    Args:
        folder: folder or URI that relative paths start from.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: OrderedDict[str, Found] = OrderedDict()

    def read(self, value: ImageValue) -> Found:
        if isinstance(value, bytes):
            return _measure(value, "in a row")
        try:
            if (data := embedded_bytes(value, IMAGE_BYTES.value)) is not None:
                return _measure(data, "in a row")
        except ImageError as error:
            return Unread("broken", str(error))
        if (found := self._known.get(value)) is None:
            found = self._known[value] = self._read_file(value)
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return found

    def _read_file(self, value: str) -> Found:
        try:
            path = local_path(value)
            if path is None or is_remote(self._folder):
                return Unread("remote", value)
            uri = str(self._folder / path)
            if not Path(uri).exists():
                return Unread("missing", uri)
        except (OSError, ValueError) as error:  # a name that is too long, or not a valid URI
            return Unread("missing", f"{shorten_text(value)}: {error}")
        try:
            return _measure(read_image(uri, _POLICY), uri)
        except ImageError as error:
            return Unread("broken", str(error))


def _measure(data: bytes, uri: str) -> Found:
    try:
        found = measure_image(data, uri)
    except ImageError as error:
        return Unread("broken", str(error))
    return Facts(found.width, found.height, hashlib.blake2b(data, digest_size=16).digest(), found.phash)


class ImageCounts:
    """Counts images per row and repeated names, over all rows."""

    def __init__(self) -> None:
        self.per_row = Numbers()
        self._names = Distinct()

    def add(self, images: tuple[ImageValue, ...]) -> None:
        self.per_row.add(len(images))
        for value in images:
            self._names.add(value)

    def names(self) -> Exact:
        return self._names.result()


class ImageFiles:
    """Collects the files of images."""

    def __init__(self) -> None:
        self._width, self._height, self._pixels = Numbers(), Numbers(), Numbers()
        self._aspects: Counter[float] = Counter()
        self._widest = 0.0
        self._landscape = self._portrait = 0
        self._exact, self._near = Distinct(), NearImages()
        self._problems = dict.fromkeys(("missing", "broken", "remote"), Problems())

    def add(self, found: Found, where: str) -> None:
        """Adds an image.

        Args:
            where: place of its row.
        """
        if isinstance(found, Unread):
            before = self._problems[found.kind]
            self._problems[found.kind] = Problems(
                before.count + 1, before.first or f"{where}: {shorten_text(found.reason, 300)}"
            )
            return
        self._width.add(found.width)
        self._height.add(found.height)
        self._pixels.add(found.width * found.height)
        ratio = found.width / found.height
        self._widest = max(self._widest, ratio)
        self._aspects[max(edge for edge in ASPECTS if edge <= ratio)] += 1
        self._landscape += found.width > found.height
        self._portrait += found.width < found.height
        self._exact.add(found.digest)
        self._near.add(found.phash)

    def result(self, counts: ImageCounts) -> Images:
        measured = self._width.count
        return Images(
            per_row=counts.per_row.result(),
            names=counts.names(),
            measured=measured,
            width=self._width.result(),
            height=self._height.result(),
            pixels=self._pixels.result(),
            aspect=count_bins(self._aspects, (*ASPECTS, max(2 * ASPECTS[-1], math.floor(self._widest) + 1))),
            landscape=Share(self._landscape, measured),
            portrait=Share(self._portrait, measured),
            square=Share(measured - self._landscape - self._portrait, measured),
            exact=self._exact.result().repeated,
            near=self._near.result(),
            **self._problems,
        )

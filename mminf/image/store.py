"""Loads the images of a run, with a cache, outside the event loop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, TypeVarTuple

from mminf.errors import ImageError, shorten_text
from mminf.image.decode import Decoded, decode_image, to_png
from mminf.image.embed import embedded_bytes
from mminf.image.identity import ImageStat, image_digest, stat_image, stat_object
from mminf.image.normalise import scale_down
from mminf.image.policy import ImagePolicy, check_allowed
from mminf.image.read import read_allowed, read_image
from mminf.storage import is_uri

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("mminf")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
FETCHES = 32  # remote images that are fetched at the same time
_ENTRY = 1000  # bytes that an image takes without its content
# Files up to this size are decoded when they are read: handing them to a thread a second time takes as long.
_SMALL_BYTES = 2**16
_SMALL_PIXELS = 2**18

_CHANGED = "changed"


class Fit(Protocol):
    """Scales images to the size that a model's processor wants; equal ones make equal pixels."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Returns the scaled image. Raises ValueError if the model takes no image of this shape."""
        ...

    def __hash__(self) -> int: ...


class View(NamedTuple):
    """A form of an image that a backend needs.

    Attributes:
        kind: `pixels` (a PIL image, RGB), or `url` (a `data:` URL, for chat servers). Both have the same pixels.
        max_pixels: larger images are scaled down to at most this many.
        fit: scales images instead, for models whose processor is known.
    """

    kind: str = "pixels"
    max_pixels: int | None = None
    fit: Fit | None = None

    def make(self, image: Image.Image, uri: str) -> Image.Image:
        """Returns the pixels of this view of a decoded image.

        Raises:
            ImageError: if the model takes no image of this shape.
        """
        if self.fit is None:
            return scale_down(image, self.max_pixels)
        try:
            return self.fit(image)
        except ValueError as error:
            raise ImageError(f"image {shorten_text(uri)!r} can't be shown to the model: {error}") from error


FULL = View()


@dataclass(slots=True)
class LoadedImage:
    """An image of a request.

    Attributes:
        uri: as in the record.
        digest: 64 hex digits that depend on the file's content (`image_digest`).
        views: the forms that the store has made so far.
        size: bytes of memory.
    """

    uri: str
    digest: str
    data: bytes | None = None
    views: dict[View, Image.Image | str] = field(default_factory=dict)
    size: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def pixels(self) -> Image.Image:
        """The decoded RGB image at its full size; `ImageStore.decode` comes first."""
        return self.views[FULL]

    def seen(self, view: View) -> Image.Image:
        """Returns a view in pixels; if the store has not made it, from the image at its full size."""
        made = self.views.get(view)
        return view.make(self.pixels, self.uri) if made is None else made


class DigestCache:
    """Cache of the digests of unchanged files between runs: the journal; this base class stores nothing."""

    def get(self, stat: ImageStat) -> str | None:
        return None

    def put(self, stat: ImageStat, digest: str) -> None:
        return None


class ImageStore:
    """Loads each image once, outside the event loop, and caches it.

    Args:
        policy: what may be read.
        digests: cache of digests, so that a resumed run does not read unchanged files.
        capacity: size of the cache in bytes; images of requests in flight are not evicted.
    """

    def __init__(
        self,
        policy: ImagePolicy,
        digests: DigestCache | None = None,
        *,
        capacity: int = 2**30,
        threads: int | None = None,
    ) -> None:
        self.policy = policy
        self._digests = digests or DigestCache()
        self._capacity = capacity
        self._bytes = 0
        self._loaded: OrderedDict[str, LoadedImage] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._logged: set[str] = set()
        self._last_view: View | None = None  # that a call needed
        self._pool = ThreadPoolExecutor(threads or default_threads(), "mminf-image")
        self._fetchers: ThreadPoolExecutor | None = None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._fetchers is not None:
            self._fetchers.shutdown(wait=False, cancel_futures=True)

    async def open(self, uri: str) -> LoadedImage:
        """Returns the image with its digest; its pixels are decoded later, if a call needs them.

        Raises:
            ImageError: if it is missing, too large or not allowed.
        """
        if not isinstance(uri, str):
            raise ImageError(f"an image is a path or a URI, not {shorten_text(repr(uri))}")
        if (image := self._loaded.get(uri)) is None:
            lock = self._locks.setdefault(uri, asyncio.Lock())
            try:
                async with lock:
                    return self._loaded.get(uri) or await self._load(uri)
            finally:
                self._locks.pop(uri, None)
        self._loaded.move_to_end(uri)
        return image

    async def decode(self, image: LoadedImage, view: View = FULL) -> None:
        """Makes a view of the image, unless it exists.

        Raises:
            ImageError: if the image is broken, truncated, or too large, or its file has changed since it was opened.
        """
        if view in image.views:
            return
        async with image.lock:
            if view not in image.views:
                self._last_view = view
                data = image.data or await self._read_again(image)
                image.views[view] = await self._run(self._make_view, image.uri, data, view, self.policy.max_pixels)
                image.data = None  # read again if another view is needed
                self._keep(image)

    async def check(self, image: LoadedImage) -> None:
        """Decodes an image that has no view yet, and keeps nothing. Raises ImageError as `decode`."""
        if not image.views:
            data = image.data or await self._read_again(image)
            await self._run(decode_image, data, image.uri, self.policy.max_pixels)

    async def _load(self, uri: str) -> LoadedImage:
        made: LoadedImage = await self._run(self._identify, uri, pool=self._pool_for(uri))
        image = self._loaded.setdefault(uri, made)
        self._keep(image)
        return image

    async def _read_again(self, image: LoadedImage) -> bytes:
        try:
            data: bytes = await self._run(self._reread, image, pool=self._pool_for(image.uri))
        except ImageError:
            self._drop(image)  # the next call opens the new file
            raise
        return data

    def _reread(self, image: LoadedImage) -> bytes:
        """Reads an image again. A file that has changed must not be sent under the digest of the old one."""
        stat = _stat(image.uri)
        data = read_image(image.uri, self.policy)
        if (found := image_digest(data)) == image.digest:
            return data
        if stat is not None:
            self._digests.put(stat, found)
        raise ImageError(
            f"image {shorten_text(image.uri)!r} changed while it was used; resume the run to use the new file"
        )

    def _drop(self, image: LoadedImage) -> None:
        if self._loaded.get(image.uri) is image:
            del self._loaded[image.uri]
            self._bytes -= image.size

    def _keep(self, image: LoadedImage) -> None:
        """Updates the size of an image in the cache, and evicts the least recently used ones."""
        size = _ENTRY + len(image.data or b"") + sum(_size(made) for made in image.views.values())
        if self._loaded.get(image.uri) is image:
            self._bytes += size - image.size
        image.size = size
        while self._bytes > self._capacity and len(self._loaded) > 1:
            _, gone = self._loaded.popitem(last=False)
            self._bytes -= gone.size

    async def _run(self, function: Callable[[*Ts], T], *args: *Ts, pool: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, function, *args)

    def _pool_for(self, uri: str) -> ThreadPoolExecutor:
        """Returns separate threads for remote images, so that waiting does not block decoding."""
        if not is_uri(uri):
            return self._pool
        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(FETCHES, "mminf-fetch")
        return self._fetchers

    def _identify(self, uri: str) -> LoadedImage:
        data = embedded_bytes(uri, self.policy.max_bytes)
        if data is not None:
            return LoadedImage(uri, image_digest(data), data)
        check_allowed(uri, self.policy)
        stat = _stat(uri)
        if stat is not None and (known := self._digests.get(stat)) is not None:
            return LoadedImage(uri, known)
        data = read_allowed(uri, self.policy)
        found = image_digest(data)
        if stat is not None:
            self._digests.put(stat, found)
        image = LoadedImage(uri, found, data)
        view = self._last_view  # read once: another thread may change it meanwhile
        if view is not None and len(data) <= _SMALL_BYTES and not is_uri(uri):
            with contextlib.suppress(Exception):  # `decode` raises it, if the view is needed
                image.views[view] = self._make_view(uri, data, view, min(self.policy.max_pixels, _SMALL_PIXELS))
        return image

    def _make_view(self, uri: str, data: bytes, view: View, max_pixels: int) -> Image.Image | str:
        found = decode_image(data, uri, max_pixels)
        self._log_changes(uri, found)
        scaled = view.make(found.pixels, uri)
        if view.kind == "pixels":
            return scaled
        mime = found.mime
        if scaled is not found.pixels or not found.plain:
            data, mime = to_png(scaled), "image/png"
        return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"

    def _log_changes(self, uri: str, found: Decoded) -> None:
        """Logs once per run and kind how images differ from their files."""
        if found.scaled is not None and found.scaled not in self._logged:
            self._logged.add(found.scaled)
            log.info("%s images are scaled to 8 bits, the first: %s", found.scaled, shorten_text(uri))
        if found.changed and _CHANGED not in self._logged:
            self._logged.add(_CHANGED)
            log.warning(
                "models see images upright, as their EXIF orientation says, and on white; ms-swift trains on the file "
                "as it is, which has other pixels: `copy_images: as_seen` of the sink stores what the models saw "
                "(`mminf help training`); the first: %s",
                shorten_text(uri),
            )


def default_threads() -> int:
    """Returns the number of threads that decode or cut images."""
    return min(8, max(2, os.cpu_count() or 2))


def _stat(uri: str) -> ImageStat | None:
    return stat_object(uri) if is_uri(uri) else stat_image(uri)


def _size(made: Image.Image | str) -> int:
    return len(made) if isinstance(made, str) else 3 * made.width * made.height

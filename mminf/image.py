"""Images that nobody checked: found, bounded, hashed and decoded before a model sees them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import math
import os
import stat as stat_module
import warnings
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mminf.errors import ImageError, UsageError
from mminf.storage import PROTOCOLS, info_token, is_uri, object_info, read_object

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 256 * 2**20
_ENTRY = 1000  # bytes that an image takes without its content
MAX_PIXELS = 100_000_000
FETCHES = 32  # images at a time that come from elsewhere
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What a recipe's source allows.

    Attributes:
        roots: folders that local images must lie in; None allows any path, and any URI that fsspec reads.
        prefixes: URIs that other images must lie under.
        hosts: hosts that images may be fetched from over http(s); none by default.
        max_pixels: images with more are refused before they are decoded.
        max_bytes: files with more are refused before they are read.
    """

    roots: tuple[Path, ...] | None = ()
    prefixes: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES


class ImageStat(NamedTuple):
    """What tells cheaply whether a file is still the same: URI, bytes, modification time in ns."""

    uri: str
    size: int
    mtime_ns: int


class View(NamedTuple):
    """A form in which an image is wanted.

    Attributes:
        kind: `pixels` (a PIL image, RGB), or `url` (a `data:` URL, as chat servers take it).
        max_pixels: larger images are scaled down to so many.
    """

    kind: str = "pixels"
    max_pixels: int | None = None


FULL = View()


@dataclass(slots=True)
class LoadedImage:
    """An image of a request.

    Attributes:
        uri: as the record has it.
        digest: SHA-256 of the file's bytes, 64 hex digits.
        views: what the store has made of it so far, by form.
        size: bytes that it takes.
    """

    uri: str
    digest: str
    data: bytes | None = None
    views: dict[View, Any] = field(default_factory=dict)
    size: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def pixels(self) -> Image.Image:
        """The decoded RGB image at its full size; `ImageStore.decode` comes first."""
        found: Image.Image = self.views[FULL]
        return found


class DigestCache:
    """Where the digests of unchanged files are kept between runs (the journal, or nothing)."""

    def get(self, stat: ImageStat) -> str | None:
        return None

    def put(self, stat: ImageStat, digest: str) -> None:
        return None


class ImageStore:
    """Loads each image once while it is wanted, off the event loop.

    Args:
        policy: what may be read.
        digests: where digests of unchanged files are kept, so that a resumed run need not read them.
        capacity: how many bytes of images are kept for the next call about them; what requests hold lives on.
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
        self._pool = ThreadPoolExecutor(threads or min(8, (os.cpu_count() or 2) + 2), "mminf-image")
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
            raise ImageError(f"an image is a path or a URI, not {uri!r}")
        if (image := self._loaded.get(uri)) is not None:
            self._loaded.move_to_end(uri)
            return image
        lock = self._locks.setdefault(uri, asyncio.Lock())
        async with lock:
            if (image := self._loaded.get(uri)) is None:
                image = await self._run(self._identify, uri, pool=self._fetching() if is_uri(uri) else self._pool)
                self._loaded[uri] = image
                self._keep(image)
        self._locks.pop(uri, None)
        return image

    async def decode(self, image: LoadedImage, view: View = FULL) -> None:
        """Makes a view of the image, if there is none yet.

        Raises:
            ImageError: if the image is broken, truncated, or too large.
        """
        if view in image.views:
            return
        async with image.lock:
            if view not in image.views:
                await self._run(self._decode, image, view)
                self._keep(image)

    def _keep(self, image: LoadedImage) -> None:
        """Counts what an image takes, and lets go of those that were asked for longest ago."""
        size = _ENTRY + len(image.data or b"") + sum(_size(made) for made in image.views.values())
        if self._loaded.get(image.uri) is image:
            self._bytes += size - image.size
        image.size = size
        while self._bytes > self._capacity and len(self._loaded) > 1:
            _, gone = self._loaded.popitem(last=False)
            self._bytes -= gone.size

    async def _run(self, function: Callable[..., Any], *args: Any, pool: ThreadPoolExecutor | None = None) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, function, *args)

    def _fetching(self) -> ThreadPoolExecutor:
        """Threads that wait for stores and servers, not for a core."""
        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(FETCHES, "mminf-fetch")
        return self._fetchers

    def _identify(self, uri: str) -> LoadedImage:
        check_allowed(uri, self.policy)
        stat = stat_object(uri) if is_uri(uri) else stat_image(uri)
        if stat is not None and (known := self._digests.get(stat)) is not None:
            return LoadedImage(uri, known)
        data = read_image(uri, self.policy)
        found = hashlib.sha256(data).hexdigest()
        if stat is not None:
            self._digests.put(stat, found)
        return LoadedImage(uri, found, data)

    def _decode(self, image: LoadedImage, view: View) -> None:
        data = image.data if image.data is not None else read_image(image.uri, self.policy)
        pixels, mime = decode_image(data, image.uri, self.policy.max_pixels)
        scaled = scale_down(pixels, view.max_pixels)
        if view.kind == "pixels":
            image.views[view] = scaled
        else:
            if scaled is not pixels:
                file = io.BytesIO()
                scaled.save(file, "PNG")
                data, mime = file.getvalue(), "image/png"
            image.views[view] = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
        image.data = None  # it is read again if another view is wanted


def _size(made: Any) -> int:
    return len(made) if isinstance(made, str) else 3 * made.width * made.height


def stat_image(uri: str) -> ImageStat | None:
    """Returns size and modification time of a local image; None for a URL or a file that isn't there."""
    try:
        path = local_path(uri)
        stat = None if path is None else os.stat(path)
    except (OSError, ValueError):
        return None
    if stat is None:
        return None
    return ImageStat(uri, stat.st_size, stat.st_mtime_ns)


def stat_object(uri: str) -> ImageStat | None:
    """The same of an object behind a URI, whose store says what changes with it; one request."""
    if uri.startswith(("http://", "https://")):
        return None
    try:
        info = object_info(uri)
    except (OSError, ValueError, UsageError):
        return None
    return ImageStat(uri, int(info.get("size") or 0), info_token(info))


def local_path(uri: str) -> str | None:
    """Returns the path that a URI names on this machine, or None."""
    if uri.startswith("file://"):
        return unquote(urlsplit(uri).path)
    return None if "://" in uri or uri.startswith("data:") else uri


def check_allowed(uri: str, policy: ImagePolicy) -> None:
    """Raises ImageError if the policy doesn't allow the URI."""
    try:
        path, parts = local_path(uri), urlsplit(uri)
    except ValueError as error:
        raise ImageError(f"image {uri!r} is no path and no URI: {error}") from error
    if path is None:
        if uri.startswith("data:"):
            return
        if parts.scheme not in ("http", "https"):
            _check_under(uri, parts.scheme, policy)
            return
        if parts.hostname not in policy.hosts:
            raise ImageError(
                f"image {uri!r}: host {parts.hostname!r} is not allowed; list it in the source's `allow_hosts`"
            )
    elif policy.roots is not None:
        if not os.path.lexists(path) or not os.path.exists(path):  # noqa: PTH110 (a broken link says so, not its folder)
            raise ImageError(f"image {uri!r} is not there")
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in policy.roots):
            raise ImageError(
                f"image {uri!r} lies outside the source's folder; add its folder to the source's `allow_paths`"
            )


def _check_under(uri: str, scheme: str, policy: ImagePolicy) -> None:
    # fsspec would read "::" as a chain of file systems, of which the first says nothing of the last.
    if scheme not in PROTOCOLS or "::" in uri or ".." in uri.split("/"):
        raise ImageError(f"image {uri!r}: scheme {scheme!r} is not supported")
    if policy.roots is not None and not uri.startswith(policy.prefixes):
        raise ImageError(f"image {uri!r} lies outside the source; add where it lies to the source's `allow_paths`")


def read_image(uri: str, policy: ImagePolicy) -> bytes:
    """Returns an image file's bytes.

    Raises:
        ImageError: if it is missing, empty, too large or not allowed.
    """
    check_allowed(uri, policy)
    if uri.startswith("data:"):
        try:
            data = base64.b64decode(uri.partition(",")[2], validate=True)
        except ValueError as error:
            raise ImageError(f"image {uri[:40]!r}…: not base64 ({error})") from error
    elif (path := local_path(uri)) is None:
        data = _fetch(uri, policy) if uri.startswith(("http://", "https://")) else _read_object(uri, policy.max_bytes)
    else:
        try:
            data = _read_file(path, uri, policy.max_bytes)
        except FileNotFoundError as error:
            raise ImageError(f"image {uri!r} is not there") from error
        except (OSError, ValueError) as error:
            raise ImageError(f"image {uri!r} can't be read: {error}") from error
    if not data:
        raise ImageError(f"image {uri!r} is empty")
    return data


def _read_file(path: str, uri: str, max_bytes: int) -> bytes:
    found = os.stat(path)
    if not stat_module.S_ISREG(found.st_mode):
        raise ImageError(f"image {uri!r} is no regular file")
    with Path(path).open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ImageError(f"image {uri!r} has {found.st_size:,} bytes; at most {max_bytes:,} are allowed")
    return data


def _read_object(uri: str, max_bytes: int) -> bytes:
    try:
        data = read_object(uri, max_bytes + 1)
    except FileNotFoundError as error:
        raise ImageError(f"image {uri!r} is not there") from error
    except (OSError, ValueError, UsageError) as error:
        raise ImageError(f"image {uri!r} can't be read: {error}") from error
    if len(data) > max_bytes:
        raise ImageError(f"image {uri!r} has more than {max_bytes:,} bytes")
    return data


def _fetch(uri: str, policy: ImagePolicy) -> bytes:
    import requests

    try:
        # A redirect could lead to a host that isn't allowed, so it is refused.
        with requests.get(uri, timeout=30, stream=True, allow_redirects=False) as response:
            if response.status_code != 200:
                raise ImageError(f"image {uri!r}: the server answered {response.status_code}")
            data = b""
            for chunk in response.iter_content(1 << 16):
                data += chunk
                if len(data) > policy.max_bytes:
                    raise ImageError(f"image {uri!r} has more than {policy.max_bytes:,} bytes")
            return data
    except requests.RequestException as error:
        raise ImageError(f"image {uri!r} can't be fetched: {error}") from error


def decode_image(data: bytes, uri: str, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, str]:
    """Returns the image as RGB, upright as its EXIF orientation says, and its MIME type.

    Raises:
        ImageError: if it is no image, is broken or truncated, or has more than `max_pixels` pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ImageError(
                        f"image {uri!r} has {width}x{height} pixels; at most {max_pixels:,} are allowed "
                        "(`max_image_pixels` of the source)"
                    )
                mime = Image.MIME.get(image.format or "", "image/png")
                upright = ImageOps.exif_transpose(image) or image
                return _share(_to_rgb(upright)), mime
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"image {uri!r} can't be decoded: it is no image, or of an unknown format") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"image {uri!r} has more pixels than Pillow agrees to look at; at most {max_pixels:,} are allowed "
            "(`max_image_pixels` of the source)"
        ) from error
    # Pillow's decoders raise nearly anything on broken files, SyntaxError and struct.error among them.
    except Exception as error:
        raise ImageError(f"image {uri!r} can't be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts to RGB; what is transparent becomes white, as on a page."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        from PIL import Image as Pillow

        rgba = image.convert("RGBA")
        white = Pillow.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    image.load()
    return image.convert("RGB")


def scale_down(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """Returns an image of at most so many pixels, in the way and to the size that ms-swift's `rescale_image` has it."""
    from PIL import Image as Pillow

    if max_pixels is None or image.width * image.height <= max_pixels:
        return image
    ratio = image.width / image.height
    height = math.sqrt(max_pixels / ratio)
    size = max(1, int(height * ratio)), max(1, int(height))
    return _share(image.resize(size, Pillow.Resampling.BILINEAR))


@cache
def _shared_image() -> type[Image.Image]:
    from PIL import Image as Pillow

    class SharedImage(Pillow.Image):
        """An image whose copy.deepcopy is itself.

        ms-swift deep-copies a request several times on its way to the model; nothing on the way writes into the
        pixels.
        """

        def __deepcopy__(self, memo: Any) -> SharedImage:
            return self

    return SharedImage


def _share(image: Image.Image) -> Image.Image:
    image.load()
    shared = _shared_image()()
    shared.__dict__.update(image.__dict__)
    return shared

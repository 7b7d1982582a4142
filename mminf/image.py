"""Images that nobody checked: found, bounded, hashed and decoded before a model sees them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
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

from mminf.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What a recipe's source allows.

    Attributes:
        roots: folders that local images must lie in; None allows any path.
        hosts: hosts that images may be fetched from over http(s); none by default.
        max_pixels: images with more are refused before they are decoded.
        max_bytes: files with more are refused before they are read.
    """

    roots: tuple[Path, ...] | None = ()
    hosts: frozenset[str] = frozenset()
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES


class ImageStat(NamedTuple):
    """What tells cheaply whether a file is still the same: URI, bytes, modification time in ns."""

    uri: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class LoadedImage:
    """An image of a request.

    Attributes:
        uri: as the record has it.
        digest: SHA-256 of the file's bytes, 64 hex digits.
        pixels: the decoded RGB image once the store has decoded it.
    """

    uri: str
    digest: str
    data: bytes | None = None
    mime: str = "image/png"
    pixels: Image.Image | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def data_url(self, max_pixels: int | None = None) -> str:
        """Returns the file as a `data:` URL, as chat servers take it; scaled down where it has more pixels."""
        assert self.data is not None, "decode() comes first"
        data, mime = self.data, self.mime
        if max_pixels is not None and self.pixels is not None and self.pixels.width * self.pixels.height > max_pixels:
            data, mime = _scale_down(self.pixels, max_pixels), "image/png"
        return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


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
        capacity: how many loaded images are kept; what requests hold lives on.
    """

    def __init__(
        self, policy: ImagePolicy, digests: DigestCache | None = None, *, capacity: int = 64, threads: int | None = None
    ) -> None:
        self.policy = policy
        self._digests = digests or DigestCache()
        self._capacity = capacity
        self._loaded: OrderedDict[str, LoadedImage] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._pool = ThreadPoolExecutor(threads or min(8, (os.cpu_count() or 2) + 2), "mminf-image")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

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
                image = await self._run(self._identify, uri)
                self._loaded[uri] = image
                while len(self._loaded) > self._capacity:
                    self._loaded.popitem(last=False)
        self._locks.pop(uri, None)
        return image

    async def decode(self, image: LoadedImage) -> None:
        """Fills `image.pixels` and `image.data`.

        Raises:
            ImageError: if the image is broken, truncated, or too large.
        """
        async with image.lock:
            if image.pixels is None:
                await self._run(self._decode, image)

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def _identify(self, uri: str) -> LoadedImage:
        stat = stat_image(uri)
        if stat is not None:
            check_allowed(uri, self.policy)
            if (known := self._digests.get(stat)) is not None:
                return LoadedImage(uri, known)
        data = read_image(uri, self.policy)
        found = hashlib.sha256(data).hexdigest()
        if stat is not None:
            self._digests.put(stat, found)
        return LoadedImage(uri, found, data)

    def _decode(self, image: LoadedImage) -> None:
        data = image.data if image.data is not None else read_image(image.uri, self.policy)
        image.pixels, image.mime = decode_image(data, image.uri, self.policy.max_pixels)
        image.data = data


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
            raise ImageError(f"image {uri!r}: scheme {parts.scheme!r} is not supported")
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
        data = _fetch(uri, policy)
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


def _scale_down(image: Image.Image, max_pixels: int) -> bytes:
    factor = (max_pixels / (image.width * image.height)) ** 0.5
    size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
    data = io.BytesIO()
    image.resize(size).save(data, "PNG")
    return data.getvalue()


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

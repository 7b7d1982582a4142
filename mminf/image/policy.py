"""Rules for the images that a source may read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mminf.errors import ImageError, shorten_text
from mminf.image.embed import is_data_uri
from mminf.limits import IMAGE_BYTES
from mminf.storage import PROTOCOLS

MAX_PIXELS = 100_000_000
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """The images that a recipe's source allows.

    Attributes:
        roots: folders that local images must be in; None allows any path, and any URI that fsspec reads.
        prefixes: URIs that other images must be under.
        hosts: hosts, or `host:port`, that images may be fetched from over http(s); none by default.
        max_pixels: images with more are refused before they are decoded.
        max_bytes: files with more are refused before they are read.
    """

    roots: tuple[Path, ...] | None = ()
    prefixes: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    max_pixels: int = MAX_PIXELS
    max_bytes: int = field(default_factory=lambda: IMAGE_BYTES.value)


class Address(NamedTuple):
    """The target of a request for a URL."""

    url: str
    host: str
    port: int


def is_url(uri: str) -> bool:
    """Returns whether a text is an http(s) URL."""
    return uri[:8].lower().startswith(("http://", "https://"))


def local_path(uri: str) -> str | None:
    """Returns the path that a URI names on this machine, or None."""
    if uri.startswith("file://"):
        return unquote(urlsplit(uri).path)
    return None if "://" in uri or is_data_uri(uri) else uri


def hub_blobs(folder: Path) -> Path | None:
    """Returns the folder of the files that a Hugging Face hub snapshot links to.

    A cached repository has `snapshots/<revision>/...`, whose files are links into `blobs` next to `snapshots`.

    Args:
        folder: the snapshot, or a folder inside of it.
    """
    real = folder.resolve()
    for place in (real, *real.parents):
        if place.name == "snapshots" and (place.parent / "blobs").is_dir():
            return place.parent / "blobs"
    return None


def check_allowed(uri: str, policy: ImagePolicy) -> None:
    """Raises ImageError if the policy does not allow the URI."""
    if is_data_uri(uri):
        return
    if is_url(uri):
        check_url(uri, policy)
        return
    try:
        path, scheme = local_path(uri), urlsplit(uri).scheme
    except ValueError as error:
        raise ImageError(f"image {shorten_text(uri)!r} is not a path or a URI: {error}") from error
    if path is None:
        _check_under(uri, scheme, policy)
    elif policy.roots is not None:
        _check_path(path, uri, policy.roots)


def check_url(uri: str, policy: ImagePolicy) -> Address:
    """Returns the target of a request for an http(s) URL.

    Raises:
        ImageError: if it is not a valid URL, or its host is not allowed.
    """
    address = _parse(uri)
    names = {address.host, f"{address.host}:{address.port}"}
    if ":" in address.host:  # IPv6
        names = {address.host, f"[{address.host}]", f"[{address.host}]:{address.port}"}
    if not any(_host_key(entry) in names for entry in policy.hosts):
        raise ImageError(
            f"image {shorten_text(uri)!r}: host {shorten_text(address.host, 60)!r} is not allowed; "
            "list it in the source's `allow_hosts`"
        )
    return address


def _parse(uri: str) -> Address:
    """Parses a URL as requests does, and once more as urllib3 does: both must find the same host."""
    import requests
    from urllib3.util import parse_url

    authority = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
    if _UNSAFE.search(uri) or "@" in authority:
        raise ImageError(f"image {shorten_text(uri)!r}: a URL with a backslash, a control character or a user name")
    try:
        url = requests.Request("GET", uri).prepare().url or ""
        ours, theirs = urlsplit(url), parse_url(url)
        default = 443 if ours.scheme == "https" else 80
        host, port = ours.hostname or "", ours.port or default
        same = host == (theirs.host or "").strip("[]").lower() and port == (theirs.port or default)
    except ValueError as error:  # requests' InvalidURL and urllib3's LocationParseError are ValueErrors
        raise ImageError(f"image {shorten_text(uri)!r} is not a valid URL") from error
    if not host or not same or ours.scheme not in ("http", "https"):
        raise ImageError(f"image {shorten_text(uri)!r} is not a valid URL")
    return Address(url, host, port)


def _host_key(entry: str) -> str:
    """Returns a host of `allow_hosts` as it is in a parsed URL: lower case, international names in ASCII."""
    entry = entry.strip().lower()
    try:
        return entry if entry.isascii() else entry.encode("idna").decode("ascii")
    except UnicodeError:
        return entry


def _check_path(path: str, uri: str, roots: tuple[Path, ...]) -> None:
    if not os.path.exists(path):  # noqa: PTH110 (a broken link counts as missing)
        raise ImageError(f"image {shorten_text(uri)!r} does not exist")
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(root) for root in roots):
        raise ImageError(
            f"image {shorten_text(uri)!r} is outside the source's folder; add its folder to the source's `allow_paths`"
        )


def _check_under(uri: str, scheme: str, policy: ImagePolicy) -> None:
    # fsspec would read "::" as a chain of file systems, so the first scheme does not determine the last.
    if scheme not in PROTOCOLS or "::" in uri or ".." in uri.split("/"):
        raise ImageError(f"image {shorten_text(uri)!r}: scheme {shorten_text(scheme, 20)!r} is not supported")
    if policy.roots is not None and not uri.startswith(policy.prefixes):
        raise ImageError(
            f"image {shorten_text(uri)!r} is outside the source; add its location to the source's `allow_paths`"
        )

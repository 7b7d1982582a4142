"""Fetches images from http(s) URLs."""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from mminf.errors import ImageError, shorten_text
from mminf.image.peer import check_resolved, connect_only, make_session, peer_check
from mminf.image.policy import Address, ImagePolicy, check_url
from mminf.limits import IMAGE_REDIRECTS, IMAGE_SECONDS

if TYPE_CHECKING:
    import requests

TRIES = 4
_READ_SECONDS = 30.0  # without any byte
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 10.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 1 << 16
_threads = threading.local()


class _Passing(Exception):
    """A temporary failure; `wait` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def fetch(uri: str, policy: ImagePolicy) -> bytes:
    """Returns the content of a URL. Redirects are followed to allowed hosts; temporary failures are retried.

    Raises:
        ImageError: if the host is not allowed, the server refuses, or the answer is too large or too slow.
    """
    deadline = time.monotonic() + IMAGE_SECONDS.value
    for attempt in range(TRIES):
        try:
            return _follow(uri, policy, deadline)
        except _Passing as error:
            wait = _FIRST_WAIT * 2**attempt if error.wait is None else min(error.wait, _LONGEST_WAIT)
            if attempt == TRIES - 1 or time.monotonic() + wait >= deadline:
                raise ImageError(f"image {shorten_text(uri)!r}: {error} ({attempt + 1} tries)") from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def _follow(uri: str, policy: ImagePolicy, deadline: float) -> bytes:
    at = uri
    for _ in range(IMAGE_REDIRECTS.value + 1):
        found = _get(check_url(at, policy), uri, policy, deadline)
        if isinstance(found, bytes):
            return found
        at = found
    raise ImageError(
        f"image {shorten_text(uri)!r}: more than {IMAGE_REDIRECTS.value} redirects (limit image_redirects)"
    )


def _get(address: Address, uri: str, policy: ImagePolicy, deadline: float) -> bytes | str:
    """Returns the body of one answer, or the URL that it redirects to."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        with _send(address, policy.hosts, max(0.1, deadline - time.monotonic())) as response:
            if target := _session().get_redirect_target(response):
                return urljoin(address.url, str(target))
            if response.status_code in _PASSING:
                raise _Passing(f"the server answered {response.status_code}", _retry_after(response))
            if response.status_code != 200:
                raise ImageError(f"image {shorten_text(uri)!r}: the server answered {response.status_code}")
            return _read(response, uri, policy.max_bytes, deadline)
    except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
        raise ImageError(f"image {shorten_text(uri)!r} can't be fetched: {_reason(error)}") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise _Passing(f"can't be fetched: {_reason(error)}") from error


def _send(address: Address, hosts: frozenset[str], seconds: float) -> requests.Response:
    """Sends the checked request to an allowed address.

    Proxies and certificates come from the environment, as in requests.
    """
    import requests

    from mminf import __version__

    session, timeout = _session(), min(_READ_SECONDS, seconds)
    check = peer_check(address.host, address.port, hosts)
    connect_only(check)
    # No compression: images are compressed, and an answer can't grow while it is decompressed.
    headers = {"User-Agent": f"mminf/{__version__}", "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
    request = requests.Request("GET", address.url, headers=headers).prepare()
    settings = session.merge_environment_settings(request.url, {}, True, None, None)
    if not requests.utils.select_proxy(address.url, settings["proxies"]):
        check_resolved(address.host, address.port, check)
    return session.send(request, timeout=timeout, allow_redirects=False, **settings)


def _session() -> requests.Session:
    """Returns this thread's session, which keeps connections open, but no cookies."""
    session = getattr(_threads, "session", None)
    if session is None:
        from http.cookiejar import DefaultCookiePolicy

        session = _threads.session = make_session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def _read(response: requests.Response, uri: str, max_bytes: int, deadline: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    # read1 returns the bytes received so far, so that a slow server can't extend a read beyond the deadline.
    read = getattr(response.raw, "read1", response.raw.read)
    while chunk := read(_CHUNK, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise ImageError(f"image {shorten_text(uri)!r} has more than {max_bytes:,} bytes (limit image_bytes)")
        if time.monotonic() > deadline:
            raise ImageError(
                f"image {shorten_text(uri)!r}: not complete after {IMAGE_SECONDS.value} s (limit image_seconds)"
            )
    return b"".join(chunks)


def _retry_after(response: requests.Response) -> float | None:
    """Returns the seconds of a Retry-After header, which is a number or a date."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said[:6])
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _reason(error: BaseException) -> str:
    """Names the innermost error: the outer ones repeat the whole URL."""
    cause = error
    while (inner := getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)) is not None:
        if not isinstance(inner, BaseException):
            break
        cause = inner
    return shorten_text(f"{type(cause).__name__}: {cause}", 140)

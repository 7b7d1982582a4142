"""Protects the app: against other users of the machine, other web sites, and texts of records that look like HTML.

The app listens on 127.0.0.1 only. Nevertheless, other users can connect to it, and a web site can make a browser send
requests to it. Therefore every request needs the token of the URL, as a cookie or in a header; a request that changes
something needs it in a header, which no other site can send. A site can also point its own name to 127.0.0.1 (DNS
rebinding); its requests have its name in `Host`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-mminf-token"
HOSTS = frozenset({"127.0.0.1", "localhost"})
LONGEST_BODY = 100_000
"""Maximum number of bytes of a request's body."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests without the token, from other sites, and to other hosts; adds the headers for security.

    Args:
        app: the app that is protected.
        token: the token of the URL.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        # Cookies of 127.0.0.1 are shared by all its ports, so that two apps need two names.
        self._cookie = f"mminf_{hashlib.sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        is_new = False

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if is_new:
                    headers.append("set-cookie", f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        is_new = self._in_url(scope)
        await self._app(scope, _limited(receive), send_guarded)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        """Returns the answer to a request that is not allowed; None if it is."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _host(host) not in HOSTS:
            return _answer(421, "this address is not one of the app; use the URL that `mminf view` printed")
        if (origin := headers.get("origin")) is not None and origin.partition("://")[2] != host:
            return _answer(403, "requests of other sites are refused")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"] != "/":
            return _answer(403, "requests of other sites are refused")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return _answer(413, "the request is too long")
        in_header = self._is_token(headers.get(HEADER, ""))
        if scope["method"] not in ("GET", "HEAD"):
            return None if in_header else _answer(403, f"the request needs the token in the header {HEADER}")
        if in_header or self._in_url(scope) or self._is_token(self._cookie_of(headers)):
            return None
        return _answer(403, "the token is missing or wrong; open the URL that `mminf view` printed")

    def _in_url(self, scope: Scope) -> bool:
        """Returns whether the page is opened with the token; other addresses don't take it."""
        if scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("token", [""])
        return self._is_token(given[0])

    def _cookie_of(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def make_token() -> str:
    """Returns a random token."""
    return secrets.token_urlsafe(32)


def _host(header: str) -> str:
    """Returns the host of a `Host` header in lower case; the port may be that of a tunnel."""
    name, _, port = header.partition(":")
    return name.lower() if not port or port.isdecimal() else ""


def _answer(status: int, message: str) -> JSONResponse:
    return JSONResponse({"detail": message}, status)


def _limited(receive: Receive) -> Receive:
    """Returns a function that receives the body of a request, and ends it when it is too long."""
    length = 0

    async def receive_limited() -> Message:
        nonlocal length
        message = await receive()
        if message["type"] == "http.request":
            length += len(message.get("body", b""))
            if length > LONGEST_BODY:
                return {"type": "http.disconnect"}
        return message

    return receive_limited

"""Images behind URLs, from a server on this machine."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from mminf import __version__
from mminf.errors import ImageError
from mminf.image import ImagePolicy, fetch, read_image

from .files import drawn, saved

PNG = saved(drawn("RGB", (90, 60)), "PNG")


class Server(ThreadingHTTPServer):
    """Answers by the path, and notes what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.agents: list[str] = []
        self.ended = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.agents.append(self.headers["User-Agent"])
        name, _, rest = self.path[1:].partition("/")
        times = self.server.asked.count(self.path)
        if name == "to":
            self.answer(302, b"", Location=rest.replace("HOST", self.server.host))
        elif name == "flaky" and times <= 2:
            self.answer(int(rest), b"busy", **{"Retry-After": "0"})
        elif name == "down":
            self.answer(503, b"busy")
        elif name == "cut" and times == 1:
            self.answer(200, PNG[:50], **{"Content-Length": str(len(PNG))})
            self.close_connection = True
        elif name == "hung" and times == 1:
            self.close_connection = True  # without an answer
        elif name == "chunked":
            self.answer(200, PNG, chunked=True)
        elif name == "gzip":
            self.answer(200, gzip.compress(PNG), **{"Content-Encoding": "gzip"})
        elif name == "drip":
            self.drip()
        elif name in ("404", "403", "204"):
            self.answer(int(name), b"")
        else:
            self.answer(200, PNG, **{"Set-Cookie": "a=b"})

    def answer(self, status: int, body: bytes, *, chunked: bool = False, **headers: str) -> None:
        self.send_response(status)
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
            parts = [body[at : at + 100] for at in range(0, len(body), 100)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        else:
            headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.ended.wait(0.05):
            try:
                self.wfile.write(b"x")
            except OSError:
                break


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch, "_FIRST_WAIT", 0.01)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.ended.set()
    made.shutdown()
    made.server_close()


def read(server: Server, path: str, *hosts: str, **limits: int) -> bytes:
    allowed = frozenset({"127.0.0.1", *hosts})
    return read_image(f"http://{server.host}/{path}", ImagePolicy(hosts=allowed, **limits))


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("ok", 1),
        ("to//ok", 2),
        ("to/http://HOST/ok", 2),
        ("to//to//to//to//ok", 5),
        ("flaky/429", 3),
        ("flaky/503", 3),
        ("to//flaky/500", 6),
        ("cut", 2),
        ("hung", 2),
        ("chunked", 1),
        ("gzip", 1),
    ],
    ids=lambda value: str(value).replace("/", "-"),
)
def test_images_are_fetched(server: Server, path: str, requests: int) -> None:
    assert read(server, path) == PNG
    assert len(server.asked) == requests
    assert set(server.agents) == {f"mminf/{__version__}"}


@pytest.mark.parametrize(
    ("path", "reason", "requests"),
    [
        ("404", "answered 404", 1),
        ("403", "answered 403", 1),
        ("204", "answered 204", 1),
        ("down", r"answered 503 \(4 tries\)", 4),
        ("to//to//to//to//to//to//ok", "more than 5 redirects", 6),
        ("to/http://other.example/ok", "host 'other.example' is not allowed", 1),
        ("to/http://127.0.0.1%5C@other.example/ok", "a URL with", 1),
        ("to/http://user@HOST/ok", "user name", 1),
        ("to/file:///etc/hostname", "not a valid URL", 1),
        ("to/ftp://HOST/ok", "not a valid URL", 1),
    ],
    ids=["missing", "forbidden", "no content", "down", "redirects", "other host", "user", "own user", "file", "ftp"],
)
def test_what_fails_says_why(server: Server, path: str, reason: str, requests: int) -> None:
    with pytest.raises(ImageError, match=reason) as failure:
        read(server, path)
    assert len(server.asked) == requests
    assert len(str(failure.value)) < 300


def test_a_redirect_to_another_port_needs_that_port(server: Server) -> None:
    other = Server()
    try:
        with pytest.raises(ImageError, match="is not allowed"):
            policy = ImagePolicy(hosts=frozenset({server.host}))
            read_image(f"http://{server.host}/to/http://{other.host}/ok", policy)
        assert other.asked == []
    finally:
        other.server_close()


def test_large_answers_are_refused(server: Server) -> None:
    for path in ("ok", "chunked", "gzip"):
        with pytest.raises(ImageError, match="more than 1,000 bytes"):
            read(server, path, max_bytes=1000)


def test_a_slow_answer_ends_at_the_total_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_IMAGE_SECONDS", "1")
    began = time.monotonic()
    with pytest.raises(ImageError, match="not complete after"):
        read(server, "drip")
    assert time.monotonic() - began < 5
    assert server.asked == ["/drip"]


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_FIRST_WAIT", 0.01)
    made = Server()
    made.server_close()
    with pytest.raises(ImageError, match=r"can't be fetched: .*refused.*\(4 tries\)") as failure:
        read(made, "x" * 3000)
    assert len(str(failure.value)) < 300


def test_retry_after_is_followed_up_to_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    # Only the module's own clock: other threads of the process sleep, too.
    clock = SimpleNamespace(sleep=waits.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(fetch, "time", clock)
    for said, wait in (("2", 2.0), ("9999", 10.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", 0.01)):
        monkeypatch.setattr(Handler, "do_GET", lambda self, said=said: self.answer(503, b"", **{"Retry-After": said}))
        with pytest.raises(ImageError, match="4 tries"):
            read(server, "x")
        assert waits[0] == wait
        waits.clear()


def test_cookies_are_not_kept(server: Server) -> None:
    read(server, "ok")
    assert not list(fetch._session().cookies)

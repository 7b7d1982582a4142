"""Images are fetched from public addresses only, whatever a name resolves to."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import ImageError
from mminf.image import ImagePolicy, peer, read_image
from mminf.image.peer import is_public, peer_check

from ..fuzz import fuzz
from ..source.test_sources import png


@pytest.fixture
def hits() -> Iterator[list[str]]:
    """The requests that a server of this machine got; its port is the first entry."""
    found: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            found.append(f"{self.headers['Host']}{self.path}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(png())

    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.append(str(server.server_port))
    yield found
    server.shutdown()
    server.server_close()


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Lets every name resolve to these addresses, one after the other; the last one stays."""
    left = list(answers)
    real = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host in ("localhost",) or _is_address(host):
            return real(host, port, *args, **kwargs)
        return real(left.pop(0) if len(left) > 1 else left[0], port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mminf.image.fetch._FIRST_WAIT", 0.01)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3"])
def test_a_name_that_resolves_to_this_machine_is_refused(
    hits: list[str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, address)
    url = f"http://allowed.example:{hits[0]}/secret.png"
    with pytest.raises(ImageError, match=rf"'allowed.example' is at {address}, which is not public; add '{address}'"):
        read_image(url, ImagePolicy(hosts=frozenset({"allowed.example"})))
    assert hits[1:] == []
    for allowed in (address, "127.0.0.0/8"):
        assert read_image(url, ImagePolicy(hosts=frozenset({"allowed.example", allowed}))) == png()
    assert len(hits) == 3


def test_a_second_answer_of_the_name_server_changes_nothing(hits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "93.184.215.14", "127.0.0.1")
    with pytest.raises(ImageError, match="is at 127.0.0.1, which is not public"):
        read_image(f"http://rebinding.example:{hits[0]}/x.png", ImagePolicy(hosts=frozenset({"rebinding.example"})))
    assert hits[1:] == []


def test_what_is_allowed_by_its_own_name_is_fetched(hits: list[str]) -> None:
    for host in ("127.0.0.1", "localhost"):
        for allowed in (host, f"{host}:{hits[0]}"):
            assert read_image(f"http://{host}:{hits[0]}/x.png", ImagePolicy(hosts=frozenset({allowed}))) == png()


def test_a_redirect_to_a_name_of_this_machine_is_refused(hits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://other.example:{hits[0]}/secret.png")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    resolve(monkeypatch, "127.0.0.2")
    try:
        with pytest.raises(ImageError, match="'other.example' is at 127.0.0.2"):
            read_image(
                f"http://127.0.0.1:{server.server_port}/x.png",
                ImagePolicy(hosts=frozenset({"127.0.0.1", "other.example"})),
            )
    finally:
        server.shutdown()
        server.server_close()
    assert hits[1:] == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "192.0.2.1", "2001:db8::1",
        "fec0::1", "64:ff9b:1::7f00:1", "::127.0.0.1", "::ffff:0:127.0.0.1", "4000::1", "3fff::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    assert "not public" in (peer_check("h.example", 80, ["h.example"])(address) or "")
    assert peer_check("h.example", 80, ["h.example", address.partition("%")[0]])(address) is None


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)
    assert peer_check("h.example", 80, [])(address) is None


@fuzz(300)
@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.lists(st.text(max_size=20), max_size=3))
def test_any_address_and_any_entry_can_be_checked(address: Any, entries: list[str]) -> None:
    reason = peer_check("h.example", 80, entries)(str(address))
    assert reason is None or "not public" in reason
    if not is_public(str(address)):
        assert (
            peer_check("h.example", 80, [f"{address}/128" if ":" in str(address) else f"{address}/32"])(str(address))
            is None
        )


def test_entries_of_allow_hosts_that_name_no_network() -> None:
    for entry in ("h.example", "h.example:80", "localhost", "", "*", "10.0.0.0/99", "10.0.0.5:9000", "[::1]:8080"):
        assert peer._network(entry, 80) is None
    for entry, network in (("10.0.0.5:80", "10.0.0.5/32"), ("[::1]:80", "::1/128"), ("10.0.0.0/8", "10.0.0.0/8")):
        assert peer._network(entry, 80) == ipaddress.ip_network(network)

"""Allows connections to public addresses only, regardless of the address that a host's name resolves to.

A name in `allow_hosts` permits requests to a public server, not to a machine in the private network of the run: the
owner of a name decides what it resolves to. The address is checked after the name is resolved, on the connection
itself, so that a second answer of the name server has no effect.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mminf.errors import ImageError

if TYPE_CHECKING:
    import requests

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_IPV6, _DOCUMENTATION = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("3fff::/20")
_local = threading.local()
Check = Callable[[str], str | None]


def is_public(address: str) -> bool:
    """Returns whether an IP address belongs to the public internet."""
    found = _plain(address)
    if isinstance(found, ipaddress.IPv6Address) and (found not in _GLOBAL_IPV6 or found in _DOCUMENTATION):
        return False
    return found.is_global and not found.is_multicast


def peer_check(host: str, port: int, hosts: Iterable[str]) -> Check:
    """Returns a function that returns why connecting to an address is forbidden for a host, or None.

    Args:
        host, port: as in the URL.
        hosts: the source's `allow_hosts`: addresses and networks (`10.0.0.0/8`) in it may be connected to, and for
            `localhost` those of this machine.
    """
    networks = [network for entry in hosts if (network := _network(entry, port)) is not None]

    def check(address: str) -> str | None:
        if is_public(address):
            return None
        found = _plain(address)
        named = (found, ipaddress.ip_address(address.partition("%")[0]))
        if any(item in network for network in networks for item in named):
            return None
        if found.is_loopback and (host == "localhost" or host.endswith(".localhost")):
            return None
        return f"host {host!r} is at {address}, which is not public; add {address!r} to the source's `allow_hosts`"

    return check


def connect_only(check: Check) -> None:
    """Sets the check of this thread's connections."""
    _local.check = check


def make_session() -> requests.Session:
    """Returns a requests session whose direct connections are checked. A proxy resolves names itself."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class CheckedHTTP(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn())

    class CheckedHTTPS(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn())

    class HTTPPool(HTTPConnectionPool):
        ConnectionCls = CheckedHTTP

    class HTTPSPool(HTTPSConnectionPool):
        ConnectionCls = CheckedHTTPS

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: object) -> None:
            super().init_poolmanager(connections, maxsize, block, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}

    session = requests.Session()
    session.mount("http://", Adapter())
    session.mount("https://", Adapter())
    return session


def check_resolved(host: str, port: int, check: Check) -> None:
    """Resolves a host before connecting. Raises ImageError if any of its addresses is forbidden."""
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return  # connecting reports it
    for address in sorted(found):
        if (reason := check(address)) is not None:
            raise ImageError(reason)


def _checked(connection: socket.socket) -> socket.socket:
    reason = _local.check(str(connection.getpeername()[0]))
    if reason is not None:
        connection.close()
        raise ImageError(reason)
    return connection


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Returns an address; the IPv4 address if it only wraps one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found.sixtofour is not None:
            return found.sixtofour
        if found in _NAT64:
            return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def _network(entry: str, port: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Returns the network that an entry of `allow_hosts` names for a port, None if it names a host or another port."""
    text = entry.strip()
    host, _, named = text.rpartition(":")
    if named.isdecimal() and (host.count(":") == 0 or host.endswith("]")):
        if int(named) != port:
            return None
        text = host
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None

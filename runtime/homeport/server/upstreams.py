"""Refusing to serve through ourselves: a backend whose address is the one we listen on."""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping

from yarl import URL

from homeport.domain.errors import ConfigError
from homeport.plugin.protocols import Addressed, Backend
from homeport.server.hosts import Address, own_addresses

_LOOPBACK = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


async def check_upstreams(backends: Mapping[str, Backend], host: str, port: int) -> None:
    """Look at the address of every backend that has one.

    Args:
        backends: By name.
        host: We listen on; empty is all addresses.
        port: We listen on; 0, a free one, can be nobody's.

    Raises:
        ConfigError: One is ours: each request would come back to us.
    """
    for name, backend in backends.items():
        url = _url(backend.address) if isinstance(backend, Addressed) else URL()
        if url.host is None or url.port != port or not await _meet(url.host, host):
            continue
        message = f"backend {name!r} points at {_place(url)}, which is where this homeport listens"
        hint = "Let this homeport listen elsewhere, as in: homeport serve --port 11435; or set another url"
        raise ConfigError(message, hint=hint)


def _url(address: str) -> URL:
    """Read an address; nobody can be asked at one that is none."""
    try:
        url = URL(address)
        return url if url.host else URL()
    except ValueError:
        return URL()


def _place(url: URL) -> str:
    """Name a server without the path of its API."""
    return str(url.origin())


async def _meet(upstream: str, own: str) -> bool:
    """Tell whether a connection to one host may end at a listener on the other."""
    there, here = await _addresses(upstream), await _addresses(own)
    if any(address.is_unspecified for address in here):
        here = here | own_addresses() | set(_LOOPBACK)
        return bool(there & here) or any(each.is_loopback or each.is_unspecified for each in there)
    if any(address.is_unspecified for address in there):
        there = there | set(_LOOPBACK)
    return bool(there & here)


async def _addresses(host: str) -> frozenset[Address]:
    """Resolve a name; one that is unknown has none."""
    host = host.lower().removesuffix(".")
    if not host:
        return frozenset({ipaddress.ip_address("0.0.0.0")})  # noqa: S104 - what listening on no host means
    try:
        return frozenset({ipaddress.ip_address(host)})
    except ValueError:
        pass
    if host == "localhost" or host.endswith(".localhost"):
        return frozenset(_LOOPBACK)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(ipaddress.ip_address(entry[4][0]) for entry in found)

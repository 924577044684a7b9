"""Which ``Host`` headers are answered: the guard against DNS rebinding."""

import ipaddress
import socket
from collections.abc import Collection
from functools import lru_cache

import psutil

_LOCAL_NAMES = frozenset({"", "localhost"})
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_REMEMBERED_ADDRESSES = 256
"""Clients send few different ones, with every request."""


class HostPolicy:
    """Accepts addresses of this machine and of private networks, local names, and configured ones.

    Args:
        allowed: Further names.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        own = socket.gethostname().lower()
        self._names = _LOCAL_NAMES | {own} | {name.lower() for name in allowed}
        self._addresses = own_addresses()

    def allows(self, header: str) -> bool:
        """Check a ``Host`` header, with or without a port."""
        name = _name_of(header).lower()
        address = _address_of(name)
        if address is not None:
            is_local = address.is_loopback or address.is_private or address.is_unspecified
            return is_local or address in self._addresses or name in self._names
        return name in self._names or name.endswith(_LOCAL_SUFFIXES)


def _name_of(header: str) -> str:
    """Drop port and brackets."""
    header = header.strip()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header if _address_of(header) is not None else header.partition(":")[0].removesuffix(".")


@lru_cache(maxsize=_REMEMBERED_ADDRESSES)
def _address_of(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def own_addresses() -> frozenset[Address]:
    """List the addresses of this machine."""
    found = (
        _address_of(address.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    )
    return frozenset(address for address in found if address is not None)

"""Staying offline: a process that refuses to open a connection to another machine.

The check is an audit hook (https://peps.python.org/pep-0578/), so it holds for every library that uses
Python's sockets, and nothing in the process can take it back. Libraries with sockets of their own are told by
the variables that they know.
"""

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import MutableMapping

from loguru import logger

_VARIABLE = "HOMEPORT_OFFLINE"
_CHILDREN = {_VARIABLE: "1", "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1"}
"""What processes that this one starts must know: those of homeport, the hub's client, and pip."""
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})
_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_NETWORKS = (socket.AF_INET, socket.AF_INET6)


def go_offline(environ: MutableMapping[str, str]) -> None:
    """Refuse connections to other machines from now on, in this process and in those that it starts.

    Args:
        environ: The variables that they inherit.
    """
    for name in [name for name in environ if name.lower() in _PROXIES]:
        del environ[name]
    environ.update(_CHILDREN)
    sys.addaudithook(_refuse)
    logger.info("offline: no connection to another machine is made")


def stay_offline() -> None:
    """Do as the process does that started this one."""
    if os.environ.get(_VARIABLE) == _CHILDREN[_VARIABLE]:
        sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Stop what would leave this machine.

    Raises:
        PermissionError: As a firewall would have it, so that libraries take it for a failed connection.
    """
    if event in _CONNECTING:
        peer, address = arguments
        if isinstance(peer, socket.socket) and peer.family in _NETWORKS and isinstance(address, tuple):
            _check(address[0], resolves=False)
    elif event in _RESOLVING:
        _check(arguments[0], resolves=True)


def _check(host: object, *, resolves: bool) -> None:
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    if not isinstance(name, str) or not name or _is_here(name, resolves=resolves):
        return
    raise PermissionError(errno.EPERM, f"offline: nothing may be asked of {name!r}")


def _is_here(name: str, *, resolves: bool) -> bool:
    """Tell whether a host is this machine; what is an address already needs no name server."""
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback or resolves
    except ValueError:
        plain = name.lower().removesuffix(".")
        return plain == "localhost" or plain.endswith(".localhost")

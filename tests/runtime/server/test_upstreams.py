import socket

import pytest

from homeport import ConfigError
from homeport.server.upstreams import check_upstreams
from homeport.testing import EchoBackend


class Far(EchoBackend):
    """A backend that says where it sends requests."""

    def __init__(self, address):
        self.address = address


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://127.0.0.1:11434/v1", "127.0.0.1"),
        ("http://localhost:11434", "127.0.0.1"),
        ("http://LOCALHOST.:11434", "127.0.0.1"),
        ("http://127.0.0.1:11434", "localhost"),
        ("http://0.0.0.0:11434", "127.0.0.1"),
        ("http://127.0.0.1:11434", "0.0.0.0"),
        ("http://127.0.0.7:11434", ""),
        ("http://[::1]:11434", "::"),
        ("http://[::1]:11434", "::1"),
    ],
)
async def test_upstream_that_is_our_own_listener_is_refused(address, host):
    """Each request would come back to us until nobody has room."""
    with pytest.raises(ConfigError, match="where this homeport listens"):
        await check_upstreams({"echo": EchoBackend(), "far": Far(address)}, host, 11434)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("http://127.0.0.1:11435", "127.0.0.1", 11434),
        ("http://127.0.0.1:11434", "127.0.0.1", 0),
        ("http://127.0.0.2:11434", "127.0.0.1", 11434),
        ("http://192.0.2.7:11434", "127.0.0.1", 11434),
        ("http://no-such-host.invalid:11434", "0.0.0.0", 11434),
        ("", "127.0.0.1", 11434),
        ("http://[::1:11434", "127.0.0.1", 11434),
        ("http://x:eleven", "127.0.0.1", 11434),
    ],
)
async def test_others_are_allowed(address, host, port):
    """Another port, or another address, is another server."""
    await check_upstreams({"echo": EchoBackend(), "far": Far(address)}, host, port)


async def test_own_name_is_our_own_listener():
    """Where we listen on all addresses, the name of this machine leads to us."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        pytest.skip("this machine cannot resolve its own name")
    with pytest.raises(ConfigError):
        await check_upstreams({"far": Far(f"http://{name}:11434")}, "0.0.0.0", 11434)

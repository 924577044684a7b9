"""The server a command works with: the one that runs, or one of its own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeport.cli.address import server_address
from homeport.cli.client import Client, NoServerError
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.own_server import own_server

if TYPE_CHECKING:
    from homeport.config.loading import LoadedSettings


def running_client(loaded: "LoadedSettings") -> Client:
    """Give a client of the server that the settings name, whether it answers or not."""
    key = loaded.settings.server.api_key or os.environ.get("OLLAMA_API_KEY", "").strip()
    return Client(server_address(loaded, os.environ), api_key=key)


@contextmanager
def connected(invocation: Invocation) -> Iterator[Client]:
    """Lend a client of the running server, or of one that is started and stopped here.

    Raises:
        NoServerError: The settings name another machine, and nobody answers there.
        ConfigError: The settings are wrong.
    """
    loaded = invocation.load()
    warn_of(loaded)
    client = running_client(loaded)
    if client.is_answering():
        yield client
    elif client.address.is_loopback:
        key = loaded.settings.server.api_key or secrets.token_urlsafe()
        with own_server(invocation, loaded.settings, api_key=key) as address:
            yield Client(address, api_key=key)
    else:
        raise NoServerError(
            f"no server answers at {client.address}",
            hint="Start it there, or unset OLLAMA_HOST to let homeport start one here",
        )

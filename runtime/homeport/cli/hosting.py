"""A host from its start to its orderly end."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from loguru import logger

from homeport.config.loading import LoadedSettings
from homeport.runtime import Runtime
from homeport.server.listener import GRACE_SECONDS
from homeport.server.listener import serve as listen

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_EXIT_CODE = 128
"""Added to a signal's number, as shells do."""


async def host_until_stopped(loaded: LoadedSettings, *, parent: socket.socket | None = None) -> None:
    """Serve until a signal comes or the parent goes, then let running requests finish.

    Args:
        loaded: Settings of this host.
        parent: Connected to the process that started this one. It is told the URL; when it closes its
            end, however it died, the host stops.

    Raises:
        ConfigError: A setting is wrong, or the address cannot be listened on.
        PluginError: Plugins that cannot live together.
    """
    stop = asyncio.Event()
    with _signals(stop), _lifeline(parent, stop):
        async with Runtime.open(loaded.settings, origins=loaded.origins) as runtime, listen(runtime) as url:
            if parent is not None:
                with suppress(ConnectionError):
                    parent.sendall(f"{url}\n".encode())
            await stop.wait()
            logger.info(
                "stopping; requests have {:.0f} s to end, a second signal ends at once", GRACE_SECONDS
            )
    logger.info("stopped")


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let the first signal ask for an orderly end, and the second end the process."""

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            logger.warning("ended at once by a second signal")
            os._exit(_SIGNAL_EXIT_CODE + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _ENDING_SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def _lifeline(parent: socket.socket | None, stop: asyncio.Event) -> Iterator[None]:
    """Ask for an orderly end when the parent closes its end of the socket."""
    if parent is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        with suppress(ConnectionResetError):
            if parent.recv(1):
                return
        loop.remove_reader(parent)
        stop.set()

    # Workers must not hold it open.
    parent.set_inheritable(False)
    loop.add_reader(parent, on_readable)
    try:
        yield
    finally:
        loop.remove_reader(parent)
        parent.close()

"""A host from its start to its orderly end."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from loguru import logger

from homeport.config.loading import LoadedSettings
from homeport.domain.errors import HomeportError
from homeport.models.background import BackgroundTasks
from homeport.runtime import Runtime
from homeport.server.draining import ACCEPT_SECONDS, Farewell
from homeport.server.listener import serve as listen
from homeport.worker.spare import SpareWorker

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_EXIT_CODE = 128
"""Added to a signal's number, as shells do."""


async def host_until_stopped(
    loaded: LoadedSettings,
    *,
    load: Callable[[], LoadedSettings] | None = None,
    parent: socket.socket | None = None,
    spare: SpareWorker | None = None,
) -> None:
    """Serve until a signal comes or the parent goes, then let running requests finish.

    Args:
        loaded: Settings of this host.
        load: Reads them anew, when SIGHUP comes or an operator asks for it.
        parent: Connected to the process that started this one. It is told the URL; when it closes its
            end, however it died, the host stops.
        spare: A worker process that the first model may have; its owner closes it.

    Raises:
        ConfigError: A setting is wrong, or the address cannot be listened on.
        PluginError: Plugins that cannot live together.
    """
    stop, farewell = asyncio.Event(), Farewell()
    with _signals(stop, farewell), _hangups(stop) as hangup, _lifeline(parent, stop):
        async with (
            Runtime.open(
                loaded.settings, origins=loaded.origins, load=load, sweeps_builds=parent is None, spare=spare
            ) as runtime,
            BackgroundTasks() as tasks,
            listen(runtime, farewell=farewell) as url,
        ):
            tasks.start(_reload_at(hangup, runtime), name="reload on SIGHUP")
            if parent is not None:
                with suppress(ConnectionError):
                    parent.sendall(f"{url}\n".encode())
            await stop.wait()
            logger.info(
                "stopping; requests have {:.0f} s to end, a second signal ends at once",
                farewell.grace_seconds,
            )
    logger.info("stopped")


async def _reload_at(hangup: asyncio.Event, runtime: Runtime) -> None:
    """Read the settings anew at each hang-up, also after a reload that failed."""
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            await runtime.reload.run()
        except HomeportError:
            pass  # told in the log by the reload
        except Exception as error:  # noqa: BLE001 - what a plugin made of its settings ends no host
            logger.opt(exception=error).error("the settings were not reloaded: {!r}", error)


@contextmanager
def _hangups(stop: asyncio.Event) -> Iterator[asyncio.Event]:
    """Give what SIGHUP sets; when it means that the terminal was closed, the host ends instead.

    A host that was told to ignore hang-ups, as by nohup, outlives its terminal.
    """
    hangup = asyncio.Event()
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def on_hangup() -> None:
        (stop if ends_with_terminal and not _has_terminal() else hangup).set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        yield hangup
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@contextmanager
def _signals(stop: asyncio.Event, farewell: Farewell) -> Iterator[None]:
    """Let the first signal ask for an orderly end, and the second end the process.

    SIGTERM comes from what runs services, and others may send requests for a while until they know; Ctrl-C
    comes from somebody who waits.
    """

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            logger.warning("ended at once by a second signal")
            os._exit(_SIGNAL_EXIT_CODE + number)
        if number is signal.SIGTERM:
            farewell.accept_seconds = ACCEPT_SECONDS
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

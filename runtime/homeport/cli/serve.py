"""``homeport serve``: a host in the foreground."""

import asyncio
import os
import socket
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from homeport.cli.invocation import Invocation
from homeport.cli.options import pass_invocation
from homeport.config.assignments import Assignment

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeport.config.loading import LoadedSettings


@click.command("serve", epilog="\b\nExample:\n  homeport serve --port 8080")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; any but loopback needs a key.")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(0, 65535), help="Port to listen on; 0 is a free one."
)
@click.option("--insecure", is_flag=True, help="Listen beyond loopback without a key.")
@click.option("--offline", is_flag=True, help="Make any connection to another machine an error.")
@click.option("--parent-fd", type=int, hidden=True, help="Socket of a parent: told the URL, its end is ours.")
@pass_invocation
def serve(
    invocation: Invocation,
    *,
    host: str | None,
    port: int | None,
    insecure: bool,
    offline: bool,
    parent_fd: int | None,
) -> None:
    """Answer the Ollama and the OpenAI API until stopped.

    The first Ctrl-C or SIGTERM lets running requests finish, up to 25 seconds; a second one ends at once.
    After a SIGTERM new requests are taken for 5 seconds more, for they may be on their way; Ctrl-C turns them
    away at once. SIGHUP reads the settings anew. The end of its terminal ends it too, except under nohup.
    """
    load = partial(invocation.load, *_flags(host, port, insecure=insecure, offline=offline))
    loaded = load()

    from loguru import logger  # noqa: PLC0415 - with the host it takes 0.4 s, which help need not wait for

    from homeport.cli.terminal import forget_dead_streams  # noqa: PLC0415
    from homeport.config.logs import configure_logging  # noqa: PLC0415
    from homeport.config.offline import go_offline  # noqa: PLC0415
    from homeport.config.ollama_variables import without_effect  # noqa: PLC0415

    configure_logging(loaded.settings.log.level)
    if loaded.settings.offline:
        go_offline(os.environ)
    for warning in loaded.warnings:
        logger.warning("{}", warning)
    idle = without_effect(os.environ)
    if idle:
        logger.info("variables that have no effect here: {}", ", ".join(idle))
    parent = None if parent_fd is None else socket.socket(fileno=parent_fd)
    try:
        asyncio.run(_host(loaded, load, parent))
    finally:
        forget_dead_streams()


async def _host(
    loaded: "LoadedSettings", load: "Callable[[], LoadedSettings]", parent: socket.socket | None
) -> None:
    """Host until stopped; the first model's worker does its imports, 0.25 s, beside those of the host."""
    from homeport.config.lasting import lasting  # noqa: PLC0415
    from homeport.worker.cores import usable_cores  # noqa: PLC0415
    from homeport.worker.spare import SpareWorker  # noqa: PLC0415

    settings = loaded.settings
    threads = settings.models.threads or usable_cores()
    async with SpareWorker.waiting(threads=threads, log_level=settings.log.level) as spare:
        with lasting():
            from homeport.cli.hosting import host_until_stopped  # noqa: PLC0415

        await host_until_stopped(loaded, load=load, parent=parent, spare=spare)


def _flags(host: str | None, port: int | None, *, insecure: bool, offline: bool) -> Iterator[Assignment]:
    if host is not None:
        yield Assignment(("server", "host"), host, "flag --host")
    if port is not None:
        yield Assignment(("server", "port"), port, "flag --port")
    if insecure:
        yield Assignment(("server", "insecure"), True, "flag --insecure")
    if offline:
        yield Assignment(("offline",), True, "flag --offline")

"""A server whose one backend echoes, so that what is left to measure is the host; see overhead.py."""

import asyncio
import socket
from pathlib import Path

import click

from homeport import Settings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoPlugin


@click.command()
@click.option("--home", type=click.Path(path_type=Path), envvar="HOMEPORT_HOME", required=True)
@click.option("--parent-fd", type=int, required=True)
def main(*, home: Path, parent_fd: int) -> None:
    """Serve until the parent closes its end of the socket."""
    asyncio.run(_serve(home, socket.socket(fileno=parent_fd)))


async def _serve(home: Path, parent: socket.socket) -> None:
    settings = Settings(home=home, plugins=PluginSettings(enabled=("echo",)))
    async with (
        Runtime.open(settings, plugins={"echo": EchoPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
    ):
        parent.sendall(f"{url}\n".encode())
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()

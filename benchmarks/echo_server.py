"""A server whose one backend echoes, so that what is left to measure is the host; see overhead.py."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import attrs
import click

from homeport import (
    BackendKind,
    BackendSpec,
    GenerationEvent,
    GenerationRequest,
    ModelInfo,
    Settings,
    TextDelta,
    hookimpl,
)
from homeport.config.gateway_settings import GatewaySettings, TimeoutSettings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoBackend


@attrs.frozen(kw_only=True)
class Pace:
    """How the echoing backend works.

    Attributes:
        slots: Answers that it gives at once.
        first_seconds: Before each answer.
        gap_seconds: Before each further word.
    """

    slots: int
    first_seconds: float
    gap_seconds: float


class PacedEcho(EchoBackend):
    """An echo that takes its time, for so many at once."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    async def models(self) -> Sequence[ModelInfo]:
        """Offer the one model with its slots."""
        return [attrs.evolve(model, slots=self._pace.slots) for model in await super().models()]

    async def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        pause = self._pace.first_seconds
        async for event in super()._events(request):
            if pause and isinstance(event, TextDelta):
                await asyncio.sleep(pause)
            pause = self._pace.gap_seconds if isinstance(event, TextDelta) else pause
            yield event


class PacedPlugin:
    """Registers it."""

    @hookimpl
    def homeport_backends(self) -> Sequence[BackendSpec]:
        """Offer the backend of the command line."""
        return [BackendSpec(name="echo", kind=BackendKind.REMOTE, factory=f"{__name__}:paced")]


def paced() -> PacedEcho:
    """Build the backend that the command line describes."""
    options = click.get_current_context().params
    return PacedEcho(
        Pace(
            slots=options["slots"],
            first_seconds=options["first_ms"] / 1000,
            gap_seconds=options["gap_ms"] / 1000,
        )
    )


@click.command()
@click.option("--home", type=click.Path(path_type=Path), envvar="HOMEPORT_HOME", required=True)
@click.option("--parent-fd", type=int, required=True)
@click.option("--slots", default=1024)
@click.option("--first-ms", default=0.0)
@click.option("--gap-ms", default=0.0)
@click.option("--queue-seconds", default=60.0)
def main(*, home: Path, parent_fd: int, queue_seconds: float, **_pace: float) -> None:
    """Serve until the parent closes its end of the socket."""
    gateway = GatewaySettings(timeouts=TimeoutSettings(queue_seconds=queue_seconds))
    settings = Settings(home=home, plugins=PluginSettings(enabled=("echo",)), gateway=gateway)
    asyncio.run(_serve(settings, socket.socket(fileno=parent_fd)))


async def _serve(settings: Settings, parent: socket.socket) -> None:
    async with (
        Runtime.open(settings, plugins={"echo": PacedPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
    ):
        parent.sendall(f"{url}\n".encode())
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()

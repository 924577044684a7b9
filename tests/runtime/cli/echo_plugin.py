"""A plugin for real processes: the echo backend, a model that waits at a gate, and a verb.

Fixtures copy it into a folder on ``PYTHONPATH``, beside the metadata of a distribution.
"""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import click

from homeport import (
    BackendKind,
    BackendSpec,
    CommandSpec,
    Finished,
    FinishReason,
    ModelInfo,
    PromptAccepted,
    TextDelta,
    Usage,
    hookimpl,
)
from homeport.testing.echo import EchoBackend


class GateBackend(EchoBackend):
    """Says one word, waits until the Unix socket at the end of the prompt is closed, and says another."""

    async def models(self):
        return (
            ModelInfo(
                name="gate:latest",
                digest="9a" * 32,
                backend="gate",
                modified_at=datetime(2025, 1, 1, tzinfo=UTC),
            ),
        )

    @asynccontextmanager
    async def generate(self, request):
        yield self._events(request)

    async def _events(self, request):
        yield PromptAccepted(prompt_tokens=1)
        yield TextDelta("before")
        reader, writer = await asyncio.open_unix_connection(request.prompt.messages[-1].content.split()[-1])
        await reader.read()
        writer.close()
        yield TextDelta(" after")
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=1, completion_tokens=2))


class Plugin:
    """Declares it all."""

    @hookimpl
    def homeport_backends(self):
        return [
            BackendSpec(name="echo", kind=BackendKind.REMOTE, factory="echo_plugin:EchoBackend"),
            BackendSpec(name="gate", kind=BackendKind.REMOTE, factory="echo_plugin:GateBackend"),
        ]

    @hookimpl
    def homeport_commands(self):
        return [CommandSpec(name="greet", factory="echo_plugin:greet", summary="Greet somebody")]


@click.command()
@click.argument("name")
def greet(name):
    click.echo(f"Hello {name}")


plugin = Plugin()

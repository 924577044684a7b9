"""A host without a model: the echo backend with every capability, offline, until standard input ends.

Run as ``python echo_host.py HOME``; the first line of its output is its URL.
"""

import asyncio
import math
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from homeport import (
    BackendKind,
    BackendSpec,
    Capability,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ModelInfo,
    PromptAccepted,
    Settings,
    TextDelta,
    TokenLogprob,
    Usage,
    hookimpl,
)
from homeport.config.logs import configure_logging
from homeport.config.offline import go_offline
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoBackend


class VersatileEcho(EchoBackend):
    """An echo that claims it can do anything, so that nothing is refused before it is read."""

    async def models(self) -> Sequence[ModelInfo]:
        """Offer the one model."""
        everything = frozenset(Capability) - {Capability.VISION}
        return [attrs.evolve(model, capabilities=everything) for model in await super().models()]

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Echo, or choose the first of the labels where there are some."""
        if request.sampling.labels:
            yield _choose(request.sampling.labels)
            return
        async with super().generate(request) as events:
            yield events


async def _choose(labels: Sequence[str]) -> AsyncIterator[GenerationEvent]:
    logprob = -math.log(len(labels))
    alternatives = tuple((label, logprob) for label in labels)
    yield PromptAccepted(1)
    yield TextDelta(labels[0], (TokenLogprob(labels[0], logprob, alternatives),))
    yield Finished(FinishReason.STOP, Usage(prompt_tokens=1, completion_tokens=1))


class EchoPlugin:
    """Registers it."""

    @hookimpl
    def homeport_backends(self) -> Sequence[BackendSpec]:
        """Offer the echo backend."""
        return [BackendSpec(name="echo", kind=BackendKind.REMOTE, factory=f"{__name__}:VersatileEcho")]


async def host(home: Path) -> None:
    """Serve until standard input ends."""
    settings = Settings(home=home, plugins=PluginSettings(enabled=("echo",), strict=True))
    async with (
        Runtime.open(settings, plugins={"echo": EchoPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
    ):
        print(url, flush=True)  # noqa: T201 - for whoever started it
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    configure_logging(os.environ.get("LOG_LEVEL", "WARNING"))
    go_offline(os.environ)
    asyncio.run(host(Path(sys.argv[1])))

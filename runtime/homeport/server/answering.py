"""From requests to a response: runs generations and spells them in a dialect, streamed or whole."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs
import msgspec
from aiohttp import web

from homeport.domain.generation import GenerationRequest, Resumed
from homeport.server.dialects import json_response
from homeport.server.failure import ClientGoneError
from homeport.server.generations import Generations, Mark, Outcome, Step, running
from homeport.server.privileges import bounded_keep_alive
from homeport.server.state import PING_SECONDS, RUNTIME
from homeport.server.streaming import FrameStream, Framing, Telling


class Encoder(Protocol):
    """Spells generations in one dialect."""

    def encode(self, step: Step) -> Iterable[msgspec.Struct]:
        """Spell one event of a stream."""
        ...

    def restart(self, index: int) -> Iterable[msgspec.Struct]:
        """Spell that what came of a generation so far is void."""
        ...

    def finish(self) -> Iterable[msgspec.Struct]:
        """Spell what follows the last event of a stream."""
        ...

    def whole(self, outcomes: Sequence[Outcome]) -> msgspec.Struct:
        """Spell the answer that is not streamed."""
        ...


async def answer(
    request: web.Request,
    generations: Sequence[GenerationRequest],
    encoder: Encoder,
    *,
    framing: Framing | None,
    telling: Telling | None = None,
    fields: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Run generations at once and answer with what they give.

    Args:
        request: Being answered.
        generations: What to run.
        encoder: Of the dialect.
        framing: Of the stream; None answers as a whole.
        telling: Spells a failure within the stream; None takes the error of the dialect.
        fields: What the client calls fields that errors of the backend name, such as ``format``; None are
            the same.

    Raises:
        HomeportError: What failed before the first byte.
    """
    allowed = [_allowed(request, generation) for generation in generations]
    async with running(request.app[RUNTIME].gateway, allowed, fields) as events:
        if framing is not None:
            frames = FrameStream(request, framing, telling)
            events.idle_seconds = request.app[PING_SECONDS] if framing.comment else None
            return await _stream(events, encoder, frames)
        outcomes = await events.outcomes()
    return json_response(encoder.whole(outcomes), headers=events.headers)


def _allowed(request: web.Request, generation: GenerationRequest) -> GenerationRequest:
    seconds = bounded_keep_alive(request, generation.keep_alive_seconds)
    return attrs.evolve(generation, keep_alive_seconds=seconds)


async def _stream(events: Generations, encoder: Encoder, frames: FrameStream) -> web.StreamResponse:
    """Stream events; the first frame waits for the first text, the first error, or a ping."""
    try:
        async for step in events:
            match step:
                case None:
                    await frames.ping(events.headers)
                case Step():
                    await frames.send(encoder.encode(step), events.headers)
                case Mark(event=Resumed()):
                    await frames.comment("resumed", events.headers)
                case Mark(index=index):
                    await frames.send(encoder.restart(index), events.headers)
        await frames.send(encoder.finish(), events.headers)
    except ClientGoneError:
        raise
    except Exception as error:  # noqa: BLE001 - told within the stream, or raised again
        return await frames.fail(error)
    return await frames.close()

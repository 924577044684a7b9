"""Running the generations of one request at once, and handing their events on as they come."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from homeport.domain.errors import GenerationError, InvalidRequestError
from homeport.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    PromptAccepted,
    PromptScored,
    Restarted,
    Resumed,
    TextDelta,
    ThoughtDelta,
    TokenLogprob,
    ToolCallDelta,
)
from homeport.domain.tools import ToolCall
from homeport.gateway.gathered_calls import GatheredCalls
from homeport.gateway.pipeline import Gateway

if TYPE_CHECKING:
    from homeport.gateway.reply import RouteTrace

_WAITING_EVENTS = 64
"""Events that a slow client may leave behind before its generations wait for it."""


@attrs.frozen
class Step:
    """An event of one of the generations, and when it came on the monotonic clock, in seconds."""

    index: int
    event: GenerationEvent
    came_at: float = attrs.field(factory=time.monotonic)


@attrs.frozen
class Mark:
    """Another backend went on with one of the generations, or began it again."""

    index: int
    event: Restarted | Resumed


@attrs.frozen
class _Ended:
    """A generation left its backend: well, or with an error."""

    error: Exception | None = None


@attrs.frozen(kw_only=True)
class Outcome:
    """A whole generation.

    Attributes:
        accepted_at: When its first event came.
        text: What it says.
        logprobs: Of the tokens of the answer, calls among them, where they were asked for.
        thoughts: What it thought before.
        thought_logprobs: Of those.
        tool_calls: What it calls, in order.
        prompt_logprobs: Of the prompt, where they were asked for.
        finished: Its last event.
    """

    accepted_at: float
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    thoughts: str = ""
    thought_logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    finished: Finished


class _Gathered:
    """What has come of one generation so far."""

    def __init__(self) -> None:
        self._accepted_at: float | None = None
        self._finished: Finished | None = None
        self._prompt_logprobs: tuple[TokenLogprob, ...] = ()
        self.clear()

    def add(self, step: Step) -> None:
        if self._accepted_at is None:
            self._accepted_at = step.came_at
        match step.event:
            case TextDelta(text=text, logprobs=logprobs):
                self._texts.append(text)
                self._logprobs.extend(logprobs)
            case ThoughtDelta(text=text, logprobs=logprobs):
                self._thoughts.append(text)
                self._thought_logprobs.extend(logprobs)
            case ToolCallDelta() as delta:
                self._calls.add(delta)
                self._logprobs.extend(delta.logprobs)
            case PromptScored(logprobs=logprobs):
                self._prompt_logprobs = self._prompt_logprobs or logprobs
            case Finished() as event:
                self._finished = event
            case PromptAccepted():
                pass

    def clear(self) -> None:
        """Forget what was declared void."""
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._thoughts: list[str] = []
        self._thought_logprobs: list[TokenLogprob] = []
        self._calls = GatheredCalls()

    def outcome(self) -> Outcome:
        if self._accepted_at is None or self._finished is None:
            raise GenerationError("a generation ended without its last event")
        return Outcome(
            accepted_at=self._accepted_at,
            text="".join(self._texts),
            logprobs=tuple(self._logprobs),
            thoughts="".join(self._thoughts),
            thought_logprobs=tuple(self._thought_logprobs),
            tool_calls=self._calls.whole(),
            prompt_logprobs=self._prompt_logprobs,
            finished=self._finished,
        )


class Generations:
    """The events of running generations, in the order of arrival.

    Iterating raises the first error of any of them, and yields None whenever ``idle_seconds`` passed
    without an event.

    Attributes:
        route: How the first one that started was served; None before that.
        truncated: Whether a prompt was cut.
        idle_seconds: None waits without a word.
    """

    def __init__(
        self, gateway: Gateway, requests: Sequence[GenerationRequest], fields: Mapping[str, str]
    ) -> None:
        self.route: RouteTrace | None = None
        self.truncated = False
        self.idle_seconds: float | None = None
        self._gateway = gateway
        self._requests = requests
        self._fields = fields
        self._running = len(requests)
        self._queue: asyncio.Queue[Step | Mark | _Ended] = asyncio.Queue(_WAITING_EVENTS)

    @property
    def headers(self) -> dict[str, str]:
        """What response headers tell of them so far."""
        headers = {} if self.route is None else {"x-homeport-route": self.route.header()}
        return headers | {"x-homeport-truncated": "1"} if self.truncated else headers

    def __aiter__(self) -> AsyncIterator[Step | Mark | None]:
        return self

    async def __anext__(self) -> Step | Mark | None:
        while self._running:
            item = await self._take()
            if not isinstance(item, _Ended):
                return item
            if item.error is not None:
                raise item.error
            self._running -= 1
        raise StopAsyncIteration

    async def outcomes(self) -> list[Outcome]:
        """Wait for all of them to end; in the order of the requests."""
        gathered = [_Gathered() for _ in self._requests]
        async for step in self:
            if isinstance(step, Step):
                gathered[step.index].add(step)
            elif isinstance(step, Mark) and isinstance(step.event, Restarted):
                gathered[step.index].clear()
        return [each.outcome() for each in gathered]

    async def pump(self, index: int, request: GenerationRequest) -> None:
        """Run one generation to its end and queue its events."""
        try:
            async with self._gateway.generate(request) as reply:
                async for event in reply:
                    self.route = self.route or reply.route
                    if isinstance(event, Restarted | Resumed):
                        await self._queue.put(Mark(index, event))
                        continue
                    self.truncated |= isinstance(event, PromptAccepted) and event.truncated
                    await self._queue.put(Step(index, event))
        except Exception as error:  # noqa: BLE001 - handed over, and raised where the events are read
            await self._queue.put(_Ended(self._respelt(error)))
        else:
            await self._queue.put(_Ended())

    def _respelt(self, error: Exception) -> Exception:
        """Name the field at fault as the client spelt it."""
        if isinstance(error, InvalidRequestError) and error.field is not None:
            known, error.field = error.field, self._fields.get(error.field, error.field)
            error.message = error.message.replace(f"invalid {known}:", f"invalid {error.field}:", 1)
        return error

    async def _take(self) -> Step | Mark | _Ended | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            async with asyncio.timeout(self.idle_seconds):
                return await self._queue.get()
        except TimeoutError:
            return None


@asynccontextmanager
async def running(
    gateway: Gateway, requests: Sequence[GenerationRequest], fields: Mapping[str, str] | None = None
) -> AsyncIterator[Generations]:
    """Run generations at once; leaving cancels those that still run.

    Args:
        gateway: Serves them.
        requests: What to run.
        fields: What the client calls fields that errors of the backend name; None are the same.
    """
    generations = Generations(gateway, requests, fields or {})
    tasks = [
        asyncio.create_task(generations.pump(index, request), name=f"generation {request.id}")
        for index, request in enumerate(requests)
    ]
    try:
        yield generations
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

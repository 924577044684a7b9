"""One attempt: a place, the guards, the backend, each within its time; and what is learnt from it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, closing, contextmanager
from typing import TypeGuard, cast

import attrs

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import BackendError
from homeport.domain.events import RequestFinished, RequestStarted
from homeport.domain.generation import (
    AnswerDelta,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Usage,
)
from homeport.domain.overload import OverloadedError
from homeport.gateway.admission.admission import Admission, Place
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.attempts.closing import ClosedInTime
from homeport.gateway.attempts.pace import Pace
from homeport.gateway.attempts.partial_answer import PartialAnswer
from homeport.gateway.attempts.patience import Patience
from homeport.gateway.deadline import TOTAL, Deadline
from homeport.gateway.events import EventBus
from homeport.gateway.policy import GatewayPolicy
from homeport.gateway.record import code_of
from homeport.gateway.routing.prompt_size import likely_tokens
from homeport.gateway.routing.standings import Standings
from homeport.gateway.target import TargetKey
from homeport.plugin.protocols import Attempt, Backend, Request

TrialEvent = GenerationEvent | EmbeddingResult
"""What an attempt gives: the events of a generation, or the one result of an embedding."""


@attrs.frozen(kw_only=True)
class Machinery:
    """What all attempts share.

    Attributes:
        backends: By name.
        watched: Names of those that see to their own stalls: a local model may take long and still move.
        admission: Gives places.
        breakers: Keep from backends that fail.
        standings: Remember how fast and how sure each one is.
        pace: Remembers how fast each one reads prompts.
        bus: Told of every attempt.
    """

    backends: Mapping[str, Backend]
    watched: frozenset[str]
    admission: Admission
    breakers: Breakers
    standings: Standings
    pace: Pace
    bus: EventBus


class Trial:
    """One attempt of one candidate.

    Args:
        attempt: What is tried, for the guards.
        group: All that could serve the request.
        policy: Guards, validators and times.
        deadline: Of the request.
        machinery: What all attempts share.
        is_shadow: Whether nobody waits for it, so that its tokens are not the caller's.

    Attributes:
        is_over: Whether it gave its last event.
        waited_seconds: How long it waited for a place.
    """

    def __init__(
        self,
        attempt: Attempt,
        *,
        group: Collection[TargetKey],
        policy: GatewayPolicy,
        deadline: Deadline,
        machinery: Machinery,
        is_shadow: bool = False,
    ) -> None:
        self._group = group
        self._is_shadow = is_shadow
        self.attempt = attempt
        self.waited_seconds = 0.0
        self._policy = policy
        self._deadline = deadline
        self._machinery = machinery
        self._key = TargetKey(attempt.candidate.backend, attempt.candidate.model.name)
        self._seen = PartialAnswer()
        self._began_at = 0.0
        self._first_token_seconds: float | None = None
        self.is_over = False

    async def events(self) -> AsyncGenerator[TrialEvent]:
        """Run the attempt and give what comes of it.

        Raises:
            HomeportError: What it failed with; a plugin may raise anything else.
        """
        attempt, machinery = self.attempt, self._machinery
        slots = attempt.candidate.model.slots
        async with AsyncExitStack() as stack:
            place = await stack.enter_async_context(
                machinery.admission.place(attempt.request, self._key, slots, self._deadline)
            )
            self.waited_seconds = place.waited_seconds
            self._check_breaker(place)
            stack.enter_context(self._told())
            request = await self._guarded(stack)
            stack.enter_context(self._settled(place))
            attempt.was_sent = True
            opened = await self._opened(stack, self._addressed(request))
            patience = stack.enter_context(closing(Patience(self._deadline)))
            events = await stack.enter_async_context(aclosing(self._timed(opened, request, patience)))
            if isinstance(request, GenerationRequest):
                generated = cast("AsyncGenerator[GenerationEvent]", events)
                events = self._policy.validation.check(request, generated, self._deadline)
                await stack.enter_async_context(aclosing(events))
            async for event in events:
                self._note(event)
                yield event

    def _check_breaker(self, place: Place) -> None:
        """Look again after the wait: what opened meanwhile is left to those who have nobody else.

        Raises:
            OverloadedError: It must not be called now.
        """
        refusal = self._machinery.breakers.refusal(self._key, self._group) if place.waited_seconds else ""
        if refusal:
            place.note(asyncio.CancelledError())  # says nothing of the backend's pace
            raise OverloadedError(refusal)

    async def _guarded(self, stack: AsyncExitStack) -> Request:
        """Enter all guards; give the request as they bounded it, each seeing what the one before left."""
        for guard in self._policy.guards:
            bounded = await stack.enter_async_context(guard.attempt(self.attempt))
            if bounded is not None:
                self.attempt.request = bounded
        return self.attempt.request

    def _addressed(self, request: Request) -> Request:
        """Name the model as its backend does, and the time that is left."""
        terms = attrs.evolve(request.terms, deadline_seconds=self._deadline.left())
        return attrs.evolve(request, model=self._key.model, terms=terms)

    async def _opened(self, stack: AsyncExitStack, request: Request) -> AsyncIterator[TrialEvent]:
        backend = self._machinery.backends[self._key.backend]
        if isinstance(request, EmbeddingRequest):
            return await stack.enter_async_context(aclosing(_embedded(backend, request)))
        async with self._deadline.stage(*self._first_limit(request)):
            opened = ClosedInTime(backend.generate(request), str(self._key))
            return await stack.enter_async_context(opened)

    async def _timed(
        self, events: AsyncIterator[object], request: Request, patience: Patience
    ) -> AsyncGenerator[TrialEvent]:
        """Pass events on up to the last one, none of them later than it may be.

        Raises:
            DeadlineError: One did not come in time.
            BackendError: They ended before the last one.
        """
        limit = self._first_limit(request)
        since: float | None = self._began_at
        while True:
            try:
                event = await patience.next(events, *limit, since=since)
            except StopAsyncIteration:
                break
            if not _is_event(event, request):
                message = f"backend {self._key.backend!r} gave {type(event).__name__}, which is no event"
                raise BackendError(message)
            if isinstance(event, AnswerDelta):
                limit, since = self._next_limit(), None
            yield event
            if isinstance(event, Finished | EmbeddingResult):
                return
        message = f"the answer of backend {self._key.backend!r} ended before it was finished"
        raise BackendError(message)

    def _first_limit(self, request: Request) -> tuple[str, float | None]:
        if self._key.backend in self._machinery.watched:
            return TOTAL, None
        times = self._policy.settings.timeouts
        seconds = self._machinery.pace.first_token_seconds(self._key, likely_tokens(request), times)
        return "first token", seconds

    def _next_limit(self) -> tuple[str, float | None]:
        if self._key.backend in self._machinery.watched:
            return TOTAL, None
        return "stall", self._policy.settings.timeouts.stall_seconds

    def _note(self, event: TrialEvent) -> None:
        """Learn from an event before the client has it: it may leave with it."""
        if self._first_token_seconds is None and not _is_prelude(event):
            self._first_token_seconds = _now() - self._began_at
        self._seen.add(event, self.attempt.candidate)
        if isinstance(event, Finished):
            self.attempt.usage = event.usage
            self.is_over = True
        elif isinstance(event, EmbeddingResult):
            self.attempt.usage = Usage(prompt_tokens=event.prompt_tokens)
            self.is_over = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell monitors of the attempt."""
        attempt, arrived = self.attempt, self._deadline.began_at
        names = {"request_id": attempt.request.id, "model": self._key.model, "backend": self._key.backend}
        self._machinery.bus.emit(RequestStarted(**names))
        code: str | None = None
        try:
            yield
        except BaseException as error:
            code = self._code(error)
            raise
        finally:
            self._machinery.bus.emit(
                RequestFinished(
                    **names,
                    seconds=_now() - arrived,
                    error_code=code,
                    usage=attempt.usage if self.is_over else None,
                )
            )

    def _code(self, error: BaseException) -> str | None:
        """Name how an attempt ended; a client that has the whole answer may go before we do."""
        return None if self.is_over and not isinstance(error, Exception) else code_of(error)

    @contextmanager
    def _settled(self, place: Place) -> Iterator[None]:
        """Tell breaker, admission and standings how the attempt ended."""
        machinery, attempt = self._machinery, self.attempt
        call = machinery.breakers.call(self._key)
        self._began_at = _now()
        error: BaseException | None = None
        try:
            yield
        except Exception as failure:
            error = failure
            raise
        except BaseException:
            error = None if self.is_over else asyncio.CancelledError()
            raise
        finally:
            attempt.error, attempt.seconds = error, _now() - self._began_at
            if attempt.usage is None and (self._seen.prompt_tokens is not None or self._seen.tokens):
                attempt.usage = self._seen.usage
            call.end(error, attempt.seconds)
            place.note(error)
            machinery.standings.observe(
                self._key,
                attempt.request.terms.task,
                error=error,
                first_token_seconds=self._first_token_seconds,
            )
            if attempt.usage is not None:
                uncached = attempt.usage.prompt_tokens - attempt.usage.cached_tokens
                seconds = attempt.usage.prompt_seconds or self._first_token_seconds or 0.0
                machinery.pace.observe(self._key, tokens=uncached, seconds=seconds)
                if not self._is_shadow:
                    machinery.admission.spend_tokens(attempt.request.owner, _tokens(attempt.usage))


async def _embedded(backend: Backend, request: EmbeddingRequest) -> AsyncGenerator[TrialEvent]:
    yield await backend.embed(request)


def _is_event(event: object, request: Request) -> TypeGuard[TrialEvent]:
    """Tell what a request can be answered with from what a faulty backend may give."""
    if isinstance(request, EmbeddingRequest):
        return isinstance(event, EmbeddingResult)
    return isinstance(event, GenerationEvent)


def _is_prelude(event: TrialEvent) -> bool:
    return not isinstance(event, AnswerDelta | Finished | EmbeddingResult)


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def _now() -> float:
    return asyncio.get_running_loop().time()

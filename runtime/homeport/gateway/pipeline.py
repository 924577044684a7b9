"""The way of a request: admission, routing, an attempt inside its guards, validation, record."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager

import attrs

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import BackendError, HomeportError
from homeport.domain.events import RequestFinished, RequestStarted
from homeport.domain.generation import Finished, GenerationEvent, GenerationRequest, Usage
from homeport.gateway.admission import Admission
from homeport.gateway.events import EventBus
from homeport.gateway.reply import EmbeddingReply, Reply, RouteTrace
from homeport.gateway.routing import Route, Routing
from homeport.gateway.validation import Validation
from homeport.models.catalog import Catalog
from homeport.models.local import LocalBackend
from homeport.plugin.protocols import Backend, Candidate, Guard, Request

_MILLISECONDS = 1000


@attrs.define
class _Record:
    """How an attempt ended; one that neither finished nor failed was cancelled by its client.

    Attributes:
        usage: Tokens, once it finished.
        error_code: None once it finished.
        passed_on: What the reader of the answer raised: its own, or an error of the answer noted before.
    """

    usage: Usage | None = None
    error_code: str | None = "cancelled"
    passed_on: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Note an error; one that is not of homeport's tree is a fault of ours or of a plugin."""
        self.error_code = error.code if isinstance(error, HomeportError) else HomeportError.code


class Gateway:
    """Serves requests through backends.

    Args:
        catalog: Knows which backend offers which model.
        backends: By name.
        local: Those among them that hold models in memory.
        admission: Bounds the requests in the house.
        routing: Orders candidates.
        guards: Surround every attempt, in order.
        validation: Checks whole answers.
        bus: Told of every attempt.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        backends: Mapping[str, Backend],
        local: Mapping[str, LocalBackend],
        admission: Admission,
        routing: Routing,
        guards: Sequence[Guard],
        validation: Validation,
        bus: EventBus,
    ) -> None:
        self._catalog = catalog
        self._backends = backends
        self._local = local
        self._admission = admission
        self._routing = routing
        self._guards = tuple(guards)
        self._validation = validation
        self._bus = bus

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[Reply]:
        """Stream an answer; leaving the context cancels what still runs.

        Raises:
            HomeportError: Here for what is known before the attempt, from the events for the rest.
        """
        arrived = time.monotonic()
        with self._admission.admit():
            route = await self._route(request)
            candidate = route.candidates[0]
            attempt = attrs.evolve(request, model=candidate.model.name)
            record = _Record()
            async with AsyncExitStack() as stack:
                stack.enter_context(self._recorded(request, candidate, arrived, record))
                await self._enter_guards(stack, request, candidate)
                events = await stack.enter_async_context(self._backends[candidate.backend].generate(attempt))
                checked = self._validation.check(request, _until_finished(events, candidate))
                noted = await stack.enter_async_context(aclosing(_noting(checked, record)))
                try:
                    yield Reply(_trace(route, arrived), noted)
                except Exception as error:
                    record.passed_on = error
                    raise

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Embed texts.

        Raises:
            HomeportError: Whatever went wrong.
        """
        arrived = time.monotonic()
        with self._admission.admit():
            route = await self._route(request)
            candidate = route.candidates[0]
            attempt = attrs.evolve(request, model=candidate.model.name)
            trace = _trace(route, arrived)
            async with AsyncExitStack() as stack:
                record = _Record()
                stack.enter_context(self._recorded(request, candidate, arrived, record))
                await self._enter_guards(stack, request, candidate)
                result = await self._backends[candidate.backend].embed(attempt)
                record.error_code = None
        return EmbeddingReply(result, trace)

    async def load(self, model: str, keep_alive_seconds: float | None) -> None:
        """Bring a model into memory; one that a remote backend serves is there already."""
        offers = await self._local_offers(model)
        if offers:
            backend, name = offers[0]
            await backend.load(name, keep_alive_seconds)

    async def unload(self, model: str) -> None:
        """Let a model go from memory when its running requests are done."""
        for backend, name in await self._local_offers(model):
            await backend.unload(name)

    async def _route(self, request: Request) -> Route:
        return self._routing.rank(request, await self._catalog.candidates(request.model))

    async def _enter_guards(self, stack: AsyncExitStack, request: Request, candidate: Candidate) -> None:
        for guard in self._guards:
            await stack.enter_async_context(guard.attempt(request, candidate))

    async def _local_offers(self, model: str) -> list[tuple[LocalBackend, str]]:
        candidates = await self._catalog.candidates(model)
        return [
            (self._local[candidate.backend], candidate.model.name)
            for candidate in candidates
            if candidate.backend in self._local
        ]

    @contextmanager
    def _recorded(
        self, request: Request, candidate: Candidate, arrived: float, record: _Record
    ) -> Iterator[None]:
        names = {"request_id": request.id, "model": candidate.model.name, "backend": candidate.backend}
        self._bus.emit(RequestStarted(**names))
        try:
            yield
        except Exception as error:
            if error is not record.passed_on:
                record.fail(error)
            raise
        finally:
            seconds = time.monotonic() - arrived
            self._bus.emit(
                RequestFinished(**names, seconds=seconds, error_code=record.error_code, usage=record.usage)
            )


async def _until_finished(
    events: AsyncIterator[GenerationEvent], candidate: Candidate
) -> AsyncGenerator[GenerationEvent]:
    """Pass events on up to the last one; a stream that ends without it was cut.

    Raises:
        BackendError: The backend stopped short.
    """
    async for event in events:
        yield event
        if isinstance(event, Finished):
            return
    message = f"the answer of backend {candidate.backend!r} ended before it was finished"
    raise BackendError(message)


async def _noting(events: AsyncIterator[GenerationEvent], record: _Record) -> AsyncGenerator[GenerationEvent]:
    """Pass events on and note how they end, also when the reader deals with an error itself."""
    try:
        async for event in events:
            if isinstance(event, Finished):
                record.usage = event.usage
                record.error_code = None
            yield event
    except Exception as error:
        record.fail(error)
        raise


def _trace(route: Route, arrived: float) -> RouteTrace:
    candidate = route.candidates[0]
    return RouteTrace(
        backend=candidate.backend,
        model=candidate.model.name,
        reason=route.reason,
        attempts=1,
        queue_ms=round((time.monotonic() - arrived) * _MILLISECONDS),
    )

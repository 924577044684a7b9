"""The backend: an Ollama that runs already."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import attrs

from homeport import (
    Capability,
    EmbeddingRequest,
    EmbeddingResult,
    GenerationEvent,
    GenerationRequest,
    ModelInfo,
    ModelNotFoundError,
    Request,
    UnsupportedError,
)
from homeport.upstream import (
    ConnectionPool,
    ModelListing,
    NoSuchPathError,
    PoolSettings,
    Reply,
    estimated_tokens,
    finished_vectors,
    hops_headers,
    is_loopback,
    tagged,
    upstream_url,
)
from homeport_ollama import bodies
from homeport_ollama.answers import events
from homeport_ollama.config import OllamaConfig
from homeport_ollama.models import Models
from homeport_ollama.pulls import Pulls
from homeport_ollama.warmth import Warmth
from homeport_ollama.wire import Embedded, OneEmbedded

NAME = "ollama-legacy"

_NANOSECONDS = 1e9
_PULL_SECONDS = 24 * 3600.0


def build(config: OllamaConfig) -> "OllamaBackend | None":
    """Build the backend and let it look; None where no address is set."""
    if not config.address:
        return None
    backend = OllamaBackend(config, config.address)
    backend.start()
    return backend


class OllamaBackend:
    """Serves the models of an Ollama.

    Args:
        config: How it is used.
        url: Where it is.
    """

    def __init__(self, config: OllamaConfig, url: str) -> None:
        place = upstream_url(url)
        settings = PoolSettings(
            backend=NAME,
            url=place,
            connections=config.connections,
            idle_seconds=config.idle_seconds,
            connect_seconds=config.connect_seconds,
            total_seconds=config.total_seconds,
        )
        self._pool = ConnectionPool(settings)
        self._models = Models(
            self._pool,
            backend=NAME,
            slots=config.slots or config.connections,
            is_remote=not is_loopback(place),
            pullable=tuple(tagged(name) for name in config.pull),
        )
        self._listing = ModelListing(
            NAME,
            self._models.look,
            every_seconds=config.health_seconds,
            is_busy=lambda: self._pool.is_busy,
        )
        self._warmth = Warmth(
            self._pool, self._listing, models=config.warm, every_seconds=config.health_seconds
        )
        self._pulls = Pulls(
            ConnectionPool(attrs.evolve(settings, connections=1, total_seconds=_PULL_SECONDS)),
            self._listing,
            allowed=config.pull,
            most_bytes=config.pull_most_bytes,
        )

    @property
    def address(self) -> str:
        """Where the Ollama is."""
        return self._pool.address

    def start(self) -> None:
        """Begin to look at it, and to keep models warm."""
        self._listing.start()
        self._warmth.start()

    async def models(self) -> Sequence[ModelInfo]:
        """List its models as they were last seen; none while it is away."""
        return await self._listing.models()

    def stats(self) -> Mapping[str, object]:
        """Give the figures of its connections."""
        return {
            **self._pool.figures(),
            "models_cached": len(self._warmth.warm),
            "models_listed": len(self._listing.known),
            "is_up": self._listing.is_up,
        }

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Stream an answer; leaving closes the connection, so that Ollama stops.

        Raises:
            ModelNotFoundError: It does not have the model.
            BackendError: It is away, or broke off.
            UnsupportedError: It cannot take such a prompt.
        """
        call = bodies.generation(request, thinks=self._models.thinks(request.model))
        await self._fetch(request.model)
        async with (
            self._send(call, request) as reply,
            aclosing(events(reply, request.prompt)) as stream,
        ):
            yield stream

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Embed texts, by the older route where the newer one is missing or would normalise.

        Raises:
            UnsupportedError: The model writes text, or the inputs are none.
            ModelNotFoundError: Ollama does not have the model.
            BackendError: It is away, or answers nonsense.
        """
        model = self._listing.find(request.model)
        if model is not None and Capability.EMBEDDING not in model.capabilities:
            raise UnsupportedError(f'"{request.model}" does not support embeddings', field="model")
        call = bodies.embedding(request)
        await self._fetch(request.model)
        if not request.normalize:
            return await self._embed_singly(request)
        try:
            return await self._embed(request, call)
        except NoSuchPathError:
            return await self._embed_singly(request)

    async def aclose(self) -> None:
        """Stop looking and close all connections."""
        await self._warmth.aclose()
        await self._pulls.aclose()
        await self._listing.aclose()
        await self._pool.aclose()

    async def _fetch(self, model: str) -> None:
        """Have a model pulled where the settings allow it and the Ollama has it not."""
        if self._listing.is_up and self._pulls.allows(model) and not self._models.is_installed(model):
            await self._pulls.pull(model)

    async def _embed(self, request: EmbeddingRequest, call: bodies.Call) -> EmbeddingResult:
        async with self._send(call, request) as reply:
            answer = await reply.body(Embedded)
        return EmbeddingResult(
            finished_vectors(NAME, answer.embeddings, request),
            prompt_tokens=answer.prompt_eval_count or estimated_tokens(request.inputs),
            load_seconds=max(answer.load_duration or 0.0, 0.0) / _NANOSECONDS,
        )

    async def _embed_singly(self, request: EmbeddingRequest) -> EmbeddingResult:
        vectors: list[list[float]] = []
        for text in bodies.texts(request):
            call = bodies.single_embedding(request, text)
            async with self._send(call, request) as reply:
                vectors.append((await reply.body(OneEmbedded)).embedding)
        return EmbeddingResult(
            finished_vectors(NAME, vectors, request), prompt_tokens=estimated_tokens(request.inputs)
        )

    @asynccontextmanager
    async def _send(self, call: bodies.Call, request: Request) -> AsyncIterator[Reply]:
        headers = hops_headers(request.terms)
        try:
            with self._listing.watching():
                async with self._pool.send(
                    "POST", call.path, call.body, headers=headers, model=request.model
                ) as reply:
                    yield reply
        except ModelNotFoundError as error:
            error.hint = error.hint or f"Run: ollama pull {request.model}"
            raise

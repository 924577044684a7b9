"""The backend: one other server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

from loguru import logger
from yarl import URL

from homeport import (
    BackendError,
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
    PoolSettings,
    Reply,
    estimated_tokens,
    finished_vectors,
    hops_headers,
    is_loopback,
    upstream_url,
)
from homeport_remote import bodies
from homeport_remote.answers import events
from homeport_remote.config import Kind, RemoteConfig, UpstreamConfig
from homeport_remote.keys import KeySource
from homeport_remote.models import Models
from homeport_remote.wire import Embeddings

PREFIX = "remote"


def build(config: RemoteConfig) -> "Mapping[str, RemoteServer]":
    """Build a backend per server, and let each look."""
    servers = {name: RemoteServer(name, upstream) for name, upstream in config.upstreams.items()}
    for server in servers.values():
        server.start()
    return servers


class RemoteServer:
    """Serves the models of another server.

    Args:
        name: Of the server, in the settings.
        config: Where it is and how it is used.
    """

    def __init__(self, name: str, config: UpstreamConfig) -> None:
        self._backend = f"{PREFIX}-{name}"
        self._kind = Kind(config.kind)
        url = _root(upstream_url(config.url))
        self._keys = KeySource(self._backend, config)
        if self._keys.is_set and url.scheme != "https" and not is_loopback(url):
            logger.warning("backend {} sends its key without encryption, to {}", self._backend, url)
        self._pool = ConnectionPool(
            PoolSettings(
                backend=self._backend,
                url=url,
                connections=config.connections,
                idle_seconds=config.idle_seconds,
                connect_seconds=config.connect_seconds,
                total_seconds=config.total_seconds,
            )
        )
        self._models = Models(
            self._pool, self._keys, config, backend=self._backend, is_remote=not is_loopback(url)
        )
        self._listing = ModelListing(
            self._backend,
            self._models.look,
            every_seconds=config.health_seconds,
            expected=self._models.expected(),
            is_busy=lambda: self._pool.is_busy,
        )

    @property
    def address(self) -> str:
        """Root of its API."""
        return self._pool.address

    def start(self) -> None:
        """Begin to look at it."""
        self._listing.start()

    async def models(self) -> Sequence[ModelInfo]:
        """List its models as they were last seen; while it is away they are marked so."""
        return await self._listing.models()

    def stats(self) -> Mapping[str, object]:
        """Give the figures of its connections, and what another homeport told of itself."""
        figures = {
            **self._pool.figures(),
            "models_cached": len(self._listing.known),
            "is_up": self._listing.is_up,
        }
        replica = self._models.replica
        if replica is not None:
            figures |= {
                "replica_free_bytes": replica.free_bytes,
                "replica_running": replica.running,
                "replica_waiting": replica.waiting,
            }
        return figures

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Stream an answer; leaving closes the connection, so that the server stops.

        Raises:
            ModelNotFoundError: It does not have the model.
            BackendError: It is away, does not let us in, or broke off.
            UnsupportedError: It cannot take such a prompt.
        """
        model = await self._find(request)
        call = bodies.generation(request, model, self._kind)
        async with (
            self._send(call, request) as reply,
            aclosing(events(reply, request.prompt)) as stream,
        ):
            yield stream

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Embed texts.

        Raises:
            UnsupportedError: The model writes text.
            ModelNotFoundError: It does not have the model.
            BackendError: It is away, does not let us in, or answers nonsense.
        """
        model = await self._find(request)
        info = self._listing.find(request.model)
        if info is not None and Capability.EMBEDDING not in info.capabilities:
            raise UnsupportedError(f'"{request.model}" does not support embeddings', field="model")
        call = bodies.embedding(request, model, self._kind)
        async with self._send(call, request) as reply:
            answer = await reply.body(Embeddings)
        vectors = [entry.embedding for entry in sorted(answer.data, key=lambda entry: entry.index)]
        told = answer.usage.prompt_tokens if answer.usage else None
        return EmbeddingResult(
            finished_vectors(self._backend, vectors, request),
            prompt_tokens=max(told or estimated_tokens(request.inputs), 1),
        )

    async def aclose(self) -> None:
        """Stop looking and close all connections."""
        await self._listing.aclose()
        await self._pool.aclose()

    async def _find(self, request: Request) -> str:
        """Give what the model is called there."""
        known = self._models.target(request.model)
        if known is None:
            await self._listing.models()
            known = self._models.target(request.model)
        if known is None and not self._listing.is_up:
            raise BackendError(f"backend {self._backend!r} is away")
        if known is None:
            raise ModelNotFoundError(request.model)
        return known

    @asynccontextmanager
    async def _send(self, call: bodies.Call, request: Request) -> AsyncIterator[Reply]:
        headers = {**hops_headers(request.terms), **await self._keys.headers()}
        with self._listing.watching():
            async with self._pool.send(
                "POST", call.path, call.body, headers=headers, model=request.model
            ) as reply:
                yield reply


def _root(url: URL) -> URL:
    """Add the path that OpenAI's API mostly has, where none is given."""
    return url / "v1" if url.path == "/" else url

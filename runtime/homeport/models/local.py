"""A local backend as the gateway sees it: the same role as a remote one, played by worker processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import ModelNotFoundError
from homeport.domain.generation import GenerationEvent, GenerationRequest
from homeport.domain.models import ModelInfo, ResidentModel
from homeport.models.manager import ModelManager
from homeport.models.names import ModelName
from homeport.models.store import ModelStore, StoredModel


class LocalBackend:
    """Serves the models of the store through one kind of ``TokenModel``."""

    def __init__(self, name: str, store: ModelStore, manager: ModelManager) -> None:
        self._name = name
        self._store = store
        self._manager = manager
        self._revision: int | None = None
        self._listed: tuple[ModelInfo, ...] = ()

    async def models(self) -> Sequence[ModelInfo]:
        """List what is installed."""
        return await asyncio.to_thread(self._list)

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Load the model where needed and stream from its worker."""
        model = await self._find(request.model)
        async with (
            self._manager.use(
                model,
                keep_alive_seconds=request.keep_alive_seconds,
                context_length=request.context_length,
            ) as worker,
            worker.generate(request) as events,
        ):
            yield events

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Load the model where needed and embed."""
        came_at = time.monotonic()
        model = await self._find(request.model)
        async with self._manager.use(
            model, keep_alive_seconds=request.keep_alive_seconds, context_length=None
        ) as worker:
            load_seconds = time.monotonic() - came_at
            return attrs.evolve(await worker.embed(request), load_seconds=load_seconds)

    async def load(self, name: str, keep_alive_seconds: float | None) -> None:
        """Bring a model into memory, or change how long it stays there."""
        model = await self._find(name)
        async with self._manager.use(model, keep_alive_seconds=keep_alive_seconds, context_length=None):
            pass

    async def unload(self, name: str) -> None:
        """Let a model go when its running requests are done."""
        model = await self._find(name)
        await self._manager.unload(model.digest)

    def residents(self) -> tuple[ResidentModel, ...]:
        """List what is in memory."""
        return self._manager.residents()

    async def aclose(self) -> None:
        """End all workers."""
        await self._manager.close()

    def _list(self) -> tuple[ModelInfo, ...]:
        """Read the store again only when it changed: 0.4 ms per model, asked with every request."""
        revision = self._store.revision()
        if revision != self._revision:
            self._listed = tuple(entry.info(self._name) for entry in self._store.entries())
            self._revision = revision
        return self._listed

    async def _find(self, name: str) -> StoredModel:
        model = await asyncio.to_thread(self._store.find, ModelName.parse(name))
        if model is None:
            raise ModelNotFoundError(name)
        return model

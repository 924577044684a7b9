"""A remote backend as homeport sees it: what a plugin's object does wrong stays its own harm."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from loguru import logger

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import GenerationEvent, GenerationRequest
from homeport.domain.models import ModelInfo
from homeport.models.names import ModelName
from homeport.plugin.protocols import Addressed, Backend, Reporting

LISTING_TIMEOUT_SECONDS = 2.0
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")


class RemoteBackend:
    """Passes requests on, bounds and checks what is listed, and closes without a fuss.

    Args:
        name: Of the backend, for messages.
        backend: What the plugin's factory built.
    """

    def __init__(self, name: str, backend: Backend) -> None:
        self._name = name
        self._backend = backend
        self._told: set[str] = set()
        self._listed: tuple[ModelInfo, ...] = ()
        self._sound: tuple[ModelInfo, ...] = ()

    async def models(self) -> Sequence[ModelInfo]:
        """List the models that are described as the contract says; others are named once in the log.

        Raises:
            TimeoutError: The list took more than two seconds.
        """
        async with asyncio.timeout(LISTING_TIMEOUT_SECONDS):
            listed = tuple(await self._backend.models())
        if listed != self._listed:
            self._sound = tuple(model for model in listed if self._is_sound(model))
            self._listed = listed
        return self._sound

    def generate(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[GenerationEvent]]:
        """Stream an answer."""
        return self._backend.generate(request)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Embed texts."""
        return await self._backend.embed(request)

    @property
    def address(self) -> str:
        """Where it sends requests; empty where it does not tell, or fails to."""
        try:
            told: object = self._backend.address if isinstance(self._backend, Addressed) else ""
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            logger.error("backend {} cannot tell its address: {!r}", self._name, error)
            return ""
        return told if isinstance(told, str) else ""

    def stats(self) -> Mapping[str, object]:
        """Give its figures; none where it counts nothing, or fails to tell."""
        if not isinstance(self._backend, Reporting):
            return {}
        try:
            return self._backend.stats()
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            logger.error("backend {} cannot tell its figures: {!r}", self._name, error)
            return {}

    async def aclose(self) -> None:
        """Release connections; a failure is logged, as nobody could do anything about it."""
        try:
            await self._backend.aclose()
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything and the others must be closed
            logger.error("backend {} failed to close: {!r}", self._name, error)

    def _is_sound(self, model: ModelInfo) -> bool:
        fault = _fault(model)
        if fault and fault not in self._told:
            self._told.add(fault)
            named = getattr(model, "name", model)
            logger.warning("backend {} lists {!r}, which is left out: {}", self._name, named, fault)
        return not fault


def _fault(model: object) -> str:
    """Say what keeps a model from being listed; empty where nothing does."""
    if not isinstance(model, ModelInfo):
        return "it is no ModelInfo"
    if not _is_name(model.name):
        return "its name is no model name"
    if not _is_digest(model.digest):
        return "its digest is not 64 hexadecimal digits"
    if not _has_time_zone(model.modified_at):
        return "its modified_at is no datetime with a time zone"
    return ""


def _is_name(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ModelName.parse(value))
    except InvalidRequestError:
        return False


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def _has_time_zone(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None

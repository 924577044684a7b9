"""A backend whose model can do all that a chat can ask for, and says what a test wants it to say."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import ClassVar

from homeport import (
    BackendKind,
    BackendSpec,
    Capability,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ModelInfo,
    PromptAccepted,
    TextDelta,
    ToolCallDelta,
    UnsupportedError,
    Usage,
    hookimpl,
)

USAGE = Usage(prompt_tokens=5, cached_tokens=2, completion_tokens=4, thought_tokens=1)
_ABLE = frozenset(set(Capability) - {Capability.EMBEDDING, Capability.VISION})


MODELS = (
    ModelInfo(
        name="speaking:1b",
        digest="5a" * 32,
        backend="speaking",
        modified_at=datetime(2026, 4, 1, tzinfo=UTC),
        capabilities=_ABLE,
        context_length=2048,
    ),
)


class SpeakingBackend:
    """Says what it is told to.

    Attributes:
        says: Events between the first one and the last one.
        reason: Why answers end.
        error: Raised instead of all events, where it is set.
        asked: Requests so far.
        latest: The one that was built last.
    """

    latest: ClassVar["SpeakingBackend"]

    def __init__(self) -> None:
        SpeakingBackend.latest = self
        self.says: Sequence[GenerationEvent] = (TextDelta("Hi"),)
        self.reason = FinishReason.STOP
        self.error: Exception | None = None
        self.asked: list[GenerationRequest] = []

    async def models(self) -> Sequence[ModelInfo]:
        return MODELS

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        self.asked.append(request)
        yield self._events()

    async def _events(self) -> AsyncIterator[GenerationEvent]:
        if self.error is not None:
            raise self.error
        yield PromptAccepted(USAGE.prompt_tokens)
        for event in self.says:
            yield event
        yield Finished(self.reason, USAGE, context=(1, 2, 3))

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        message = f"{request.model} writes"
        raise UnsupportedError(message)

    async def aclose(self) -> None:
        pass


class SpeakingPlugin:
    @hookimpl
    def homeport_backends(self) -> Sequence[BackendSpec]:
        return [BackendSpec(name="speaking", kind=BackendKind.REMOTE, factory=f"{__name__}:SpeakingBackend")]


class Weather:
    """The function ``weather``, as it is offered and as it is called."""

    tool: ClassVar[dict[str, object]] = {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {
                "type": "object",
                "required": ["city"],
                "properties": {"unit": {"type": "string"}, "city": {"type": "string"}},
            },
        },
    }

    @staticmethod
    def call(index: int = 0, key: str = "call_ab12cd34", city: str = "Oslo") -> list[ToolCallDelta]:
        """Give the pieces of a call."""
        return [
            ToolCallDelta(index=index, id=key, name="weather"),
            ToolCallDelta(index=index, arguments='{"unit": "C", '),
            ToolCallDelta(index=index, arguments=f'"city": "{city}"}}'),
        ]

"""A backend that answers with the prompt, word by word: deterministic, scripted, real."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from homeport import (
    BackendKind,
    BackendSpec,
    Capability,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    FinishReason,
    GenerationError,
    GenerationEvent,
    GenerationRequest,
    ModelInfo,
    ModelNotFoundError,
    PromptAccepted,
    TextDelta,
    Usage,
    hookimpl,
)
from homeport.testing.prompt_text import prompt_text

FAILING_WORD = "!fail"
"""A prompt that holds this word fails when its turn comes, after the words before it."""

_MODEL = ModelInfo(
    name="echo:latest",
    digest="ec" * 32,
    backend="echo",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    capabilities=frozenset({Capability.COMPLETION, Capability.EMBEDDING}),
    family="echo",
    context_length=4096,
    embedding_length=4,
    slots=1024,
    continues=True,
)

_WORD = re.compile(r" ?[^ ]+| ")


class EchoBackend:
    """Serves the model ``echo:latest``, which goes on behind what of its answer is there already."""

    async def models(self) -> Sequence[ModelInfo]:
        """Offer the one model."""
        return (_MODEL,)

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        """Stream the last message, a word at a time, a word counting as a token.

        Raises:
            ModelNotFoundError: Another model is asked for.
            GenerationError: From the events, when the turn of ``FAILING_WORD`` comes.
        """
        _check_model(request.model)
        async with aclosing(self._events(request)) as events:
            yield events

    async def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        prompt = prompt_text(request).split()
        text = _before_stop(" ".join(prompt), request.sampling.stop)
        words = _WORD.findall(text.removeprefix(request.begun))
        limit = request.sampling.max_tokens
        answer = words if limit is None else words[: max(limit, 0)]
        yield PromptAccepted(prompt_tokens=len(prompt))
        for word in answer:
            if word.strip() == FAILING_WORD:
                message = f"the prompt holds {FAILING_WORD!r}"
                raise GenerationError(message)
            yield TextDelta(word)
        reason = FinishReason.STOP if len(answer) == len(words) else FinishReason.LENGTH
        yield Finished(reason, Usage(prompt_tokens=len(prompt), completion_tokens=len(answer)))

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Map each input to a unit vector chosen by its length.

        Raises:
            ModelNotFoundError: Another model is asked for.
        """
        _check_model(request.model)
        width = min(request.dimensions or _MODEL.embedding_length, _MODEL.embedding_length)
        vectors = tuple(
            tuple(1.0 if place == len(text) % width else 0.0 for place in range(width))
            for text in request.inputs
        )
        return EmbeddingResult(vectors, prompt_tokens=sum(len(text) for text in request.inputs))

    async def aclose(self) -> None:
        """Nothing is open."""


def _check_model(name: str) -> None:
    if name != _MODEL.name:
        raise ModelNotFoundError(name, suggestions=[_MODEL.name])


def _before_stop(text: str, stops: Sequence[str]) -> str:
    return text[: min((text.index(stop) for stop in stops if stop and stop in text), default=len(text))]


class EchoPlugin:
    """Registers the echo backend; hand it to a runtime under test."""

    @hookimpl
    def homeport_backends(self) -> Sequence[BackendSpec]:
        """Offer the echo backend."""
        return [
            BackendSpec(name="echo", kind=BackendKind.REMOTE, factory="homeport.testing.echo:EchoBackend")
        ]

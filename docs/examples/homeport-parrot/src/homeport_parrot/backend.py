"""A remote backend: lives in homeport's event loop and streams text."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import homeport
from homeport_parrot.config import ParrotConfig

MODEL = homeport.ModelInfo(
    name="parrot:latest", digest="ba" * 32, backend="parrot", modified_at=datetime(2026, 1, 1, tzinfo=UTC)
)


class ParrotBackend:
    """Serves one model; a word is a token."""

    def __init__(self, config: ParrotConfig) -> None:
        self._config = config

    async def models(self) -> Sequence[homeport.ModelInfo]:
        """List what it can serve."""
        return [MODEL]

    @asynccontextmanager
    async def generate(
        self, request: homeport.GenerationRequest
    ) -> AsyncIterator[AsyncIterator[homeport.GenerationEvent]]:
        """Stream an answer; leaving the context ends it."""
        if request.model != MODEL.name:
            raise homeport.ModelNotFoundError(request.model)
        async with aclosing(self._speak(request)) as events:
            yield events

    async def _speak(self, request: homeport.GenerationRequest) -> AsyncGenerator[homeport.GenerationEvent]:
        heard = _text(request.prompt)
        said = f"{self._config.prefix}{heard}"
        for stop in filter(None, request.sampling.stop):
            said = said.partition(stop)[0]
        words = re.findall(r"\s*\S+|\s+$", said)
        spoken = words[: request.sampling.max_tokens]
        reason = homeport.FinishReason.STOP if spoken == words else homeport.FinishReason.LENGTH
        usage = homeport.Usage(prompt_tokens=len(heard.split()), completion_tokens=len(spoken))
        yield homeport.PromptAccepted(usage.prompt_tokens)
        for word in spoken:
            await asyncio.sleep(self._config.pause_seconds)
            yield homeport.TextDelta(word)
        yield homeport.Finished(reason, usage)

    async def embed(self, request: homeport.EmbeddingRequest) -> homeport.EmbeddingResult:
        """Embed texts, or say that it cannot."""
        raise homeport.UnsupportedError(f"{request.model} computes no embeddings", field="model")

    async def aclose(self) -> None:
        """Release connections; a parrot has none."""


def _text(prompt: homeport.Prompt) -> str:
    match prompt:
        case homeport.ChatPrompt(messages=messages):
            return messages[-1].content
        case homeport.TextPrompt(text=text):
            return text
        case homeport.TokenPrompt(tokens=tokens):
            return " ".join(map(str, tokens))

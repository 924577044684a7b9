"""Generations spelt as the chunks of generate and chat."""

from collections.abc import Callable, Iterable, Sequence

import attrs
from msgspec import UNSET, UnsetType

from homeport.domain.generation import Finished, TextDelta, TokenLogprob
from homeport.server.generations import Outcome, Step
from homeport.server.ollama.clock import created_now
from homeport.server.schemas.ollama import (
    Alternative,
    AnswerMessage,
    ChatChunk,
    Chunk,
    GenerateChunk,
    Logprob,
)
from homeport.server.schemas.terms import AnswerMark
from homeport.server.state import nanoseconds, nanoseconds_since
from homeport.server.token_text import token_bytes, writable

Form = Callable[[str, str], Chunk]
"""How a route spells a piece of text of a model."""


def generate_form(model: str, text: str) -> Chunk:
    """Spell a piece of text for generate."""
    return GenerateChunk(model=model, created_at=created_now(), response=text)


def chat_form(model: str, text: str) -> Chunk:
    """Spell a piece of text for chat."""
    return ChatChunk(model=model, created_at=created_now(), message=AnswerMessage(content=text))


@attrs.define(kw_only=True)
class ChunkEncoder:
    """Spells the one generation of a request.

    Attributes:
        model: The name as the client sent it.
        form: Of the route.
        arrived_at: When the request came, on the monotonic clock.
        returns_context: Whether the last chunk of generate holds the token ids.
    """

    model: str
    form: Form
    arrived_at: float
    returns_context: bool = True
    _accepted_at: float | None = None

    def encode(self, step: Step) -> Iterable[Chunk]:
        """Spell one event."""
        if self._accepted_at is None:
            self._accepted_at = step.came_at
        match step.event:
            case TextDelta(text=text, logprobs=logprobs):
                return (self._piece(text, logprobs),) if text or logprobs else ()
            case Finished() as finished:
                return (self._last("", (), finished, self._accepted_at),)
            case _:
                return ()

    def restart(self, index: int) -> Iterable[Chunk]:
        """Spell that what came of the answer so far is void."""
        mark = self._piece("", ())
        mark.homeport = AnswerMark(restarted=True, index=index)
        return (mark,)

    def finish(self) -> Iterable[Chunk]:
        """Nothing follows the last chunk."""
        return ()

    def whole(self, outcomes: Sequence[Outcome]) -> Chunk:
        """Spell text and figures in one object."""
        (outcome,) = outcomes
        return self._last(outcome.text, outcome.logprobs, outcome.finished, outcome.accepted_at)

    def _piece(self, text: str, logprobs: Sequence[TokenLogprob]) -> Chunk:
        chunk = self.form(self.model, text)
        if logprobs:
            chunk.logprobs = [_logprob(entry) for entry in logprobs]
        return chunk

    def _last(
        self, text: str, logprobs: Sequence[TokenLogprob], finished: Finished, accepted_at: float
    ) -> Chunk:
        chunk = self._piece(text, logprobs)
        chunk.done = True
        chunk.done_reason = finished.reason.value
        usage = finished.usage
        chunk.total_duration = nanoseconds_since(self.arrived_at)
        chunk.load_duration = nanoseconds(accepted_at - self.arrived_at)
        chunk.prompt_eval_count = usage.prompt_tokens
        chunk.prompt_eval_cached_count = usage.cached_tokens
        chunk.prompt_eval_duration = nanoseconds(usage.prompt_seconds)
        chunk.eval_count = usage.completion_tokens
        chunk.eval_duration = nanoseconds(usage.completion_seconds)
        if usage.drafted_tokens:
            chunk.draft_count = usage.drafted_tokens
            chunk.draft_accepted_count = usage.accepted_tokens
        if isinstance(chunk, GenerateChunk) and self.returns_context and finished.context:
            chunk.context = finished.context
        return chunk


def _logprob(entry: TokenLogprob) -> Logprob:
    alternatives = [
        Alternative(token, writable(logprob), _bytes(token)) for token, logprob in entry.alternatives
    ]
    return Logprob(entry.token, writable(entry.logprob), _bytes(entry.token), alternatives or UNSET)


def _bytes(token: str) -> list[int] | UnsetType:
    return token_bytes(token) or UNSET

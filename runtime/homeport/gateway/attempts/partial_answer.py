"""The part of an answer that a client has, while the backend that writes it may still fail."""

import attrs

from homeport.domain.embedding import EmbeddingResult
from homeport.domain.generation import (
    AnswerDelta,
    Finished,
    GenerationEvent,
    GenerationRequest,
    PromptAccepted,
    TextDelta,
    Usage,
)
from homeport.gateway.routing.prompt_size import BYTES_PER_TOKEN
from homeport.plugin.protocols import Candidate


@attrs.define
class PartialAnswer:
    """What was sent so far, over all attempts.

    Attributes:
        tokens: How many tokens were sent, at least: one per event that had text.
        prompt_tokens: Of the prompt, as the first backend counted it; None before that.
        candidate: Who wrote the last piece.
    """

    tokens: int = 0
    prompt_tokens: int | None = None
    candidate: Candidate | None = None
    _pieces: list[str] = attrs.field(factory=list)
    _has_more_than_text: bool = False

    @property
    def text(self) -> str:
        """The answer as the client has it."""
        return "".join(self._pieces)

    @property
    def is_empty(self) -> bool:
        """Whether the client has nothing that another backend would have to continue."""
        return not self._pieces and not self._has_more_than_text

    @property
    def usage(self) -> Usage:
        """What is known of the tokens so far; a server elsewhere may put many into one piece."""
        tokens = self.tokens
        if self.candidate is not None and self.candidate.model.is_remote:
            tokens = max(tokens, len(self.text.encode(errors="replace")) // BYTES_PER_TOKEN)
        return Usage(prompt_tokens=self.prompt_tokens or 0, completion_tokens=tokens)

    def add(self, event: GenerationEvent | EmbeddingResult, candidate: Candidate) -> None:
        """Note an event that is about to be sent."""
        if isinstance(event, PromptAccepted) and self.prompt_tokens is None:
            self.prompt_tokens = event.prompt_tokens
        elif isinstance(event, AnswerDelta):
            self.tokens += 1
            self.candidate = candidate
            if not isinstance(event, TextDelta):
                self._has_more_than_text = True
            elif event.text:
                self._pieces.append(event.text)

    def clear(self) -> None:
        """Forget what was declared void."""
        self._pieces.clear()
        self._has_more_than_text = False
        self.tokens = 0

    def can_be_continued_by(self, candidate: Candidate, request: GenerationRequest) -> bool:
        """Tell whether another try can go on behind it as if nothing had happened.

        The same weights must go on, and the choice of tokens must not be left to chance. Behind thoughts and
        calls nobody can go on: only text is told to the next backend.
        """
        is_fixed = request.sampling.temperature == 0 or request.sampling.seed is not None
        return (
            is_fixed
            and not self._has_more_than_text
            and self.candidate is not None
            and candidate.model.continues
            and candidate.model.digest == self.candidate.model.digest
            and candidate.model.context_length >= self.candidate.model.context_length
        )

    def rest_of(self, request: GenerationRequest) -> GenerationRequest:
        """Ask for what is still missing."""
        if self.is_empty:
            return request
        limit = request.sampling.max_tokens
        left = None if limit is None else max(limit - self.tokens, 1)
        sampling = attrs.evolve(request.sampling, max_tokens=left)
        return attrs.evolve(request, begun=request.begun + self.text, sampling=sampling)

    def whole(self, event: Finished, *, tokens_before: int) -> Finished:
        """Count a last event over all attempts, of which the last began behind ``tokens_before`` tokens."""
        if not tokens_before:
            return event
        usage = attrs.evolve(
            event.usage,
            prompt_tokens=event.usage.prompt_tokens if self.prompt_tokens is None else self.prompt_tokens,
            completion_tokens=tokens_before + event.usage.completion_tokens,
        )
        return attrs.evolve(event, usage=usage)

"""The engine of one model: requests in, events out, one step at a time."""

import time
from collections.abc import Iterator

import attrs
import numpy as np
from loguru import logger

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import (
    ContextOverflowError,
    GenerationError,
    HomeportError,
    InvalidRequestError,
    UnsupportedError,
)
from homeport.domain.generation import FinishReason, GenerationEvent, GenerationRequest, PromptAccepted
from homeport.engine.prompts import PromptEncoder
from homeport.engine.scheduler import Scheduler, Step
from homeport.engine.sequence import Sequence
from homeport.engine.tokenizer import TextTokenizer
from homeport.plugin.protocols import LoadPlan, TokenModel, TokenModelFacts

EMBED_OVERFLOW = "the input length exceeds the context length"


@attrs.frozen
class EngineEvent:
    """Something to tell a client: an event of its generation, or the error that ended it."""

    request_id: str
    event: GenerationEvent | HomeportError


class Engine:
    """Runs all sequences of one model.

    Not thread-safe: everything happens in the thread that computes.

    Args:
        model: Loaded.
        facts: As its ``load`` told.
        tokenizer: Of the model.
        plan: What the model was loaded with.
    """

    def __init__(
        self, model: TokenModel, facts: TokenModelFacts, tokenizer: TextTokenizer, plan: LoadPlan
    ) -> None:
        self._model = model
        self._facts = facts
        self._tokenizer = tokenizer
        self._prompts = PromptEncoder(tokenizer)
        self._scheduler = Scheduler(plan.slots)
        self._window = min(plan.context_length, facts.context_length)

    @property
    def facts(self) -> TokenModelFacts:
        """What the engine knows of its model."""
        return self._facts

    @property
    def busy(self) -> bool:
        """Whether a step would compute anything."""
        return bool(self._scheduler)

    def submit(self, request: GenerationRequest) -> Iterator[EngineEvent]:
        """Accept a request: tells how long its prompt is.

        Raises:
            HomeportError: The request cannot be served.
        """
        if not self._facts.generates:
            message = "this model computes embeddings and generates no text"
            raise UnsupportedError(message, field="model")
        window = min(request.context_length or self._window, self._window)
        prompt = self._prompts.encode(request.prompt, window=window, truncate=request.truncate)
        sequence = Sequence(
            request_id=request.id,
            prompt=prompt.tokens,
            sampling=request.sampling,
            window=window,
            tokenizer=self._tokenizer,
        )
        yield EngineEvent(request.id, PromptAccepted(len(prompt.tokens), prompt.truncated))
        if sequence.generates_nothing:
            yield EngineEvent(request.id, sequence.finish(FinishReason.LENGTH))
        else:
            self._scheduler.add(sequence)

    def cancel(self, request_id: str) -> None:
        """Forget a request and free its slot; unknown ones are ignored, they may just have ended."""
        self._scheduler.remove(self._scheduler.find(request_id))

    def step(self) -> list[EngineEvent]:
        """Compute one step of all running sequences and tell what came of it."""
        step = self._scheduler.schedule()
        started = time.perf_counter()
        try:
            logits = self._model.forward(step.batch)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; the worker goes on
            logger.exception("a step of {} rows failed", len(step.sequences))
            return self._fail(step, error)
        return list(self._settle(step, logits, time.perf_counter() - started))

    def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Embed the inputs of a request.

        Raises:
            UnsupportedError: The model has no embeddings.
            ContextOverflowError: An input exceeds the window and must not be cut.
        """
        if not self._facts.embedding_length:
            message = "this model generates text and computes no embeddings"
            raise UnsupportedError(message, field="model")
        inputs = self._embedding_inputs(request)
        vectors = np.asarray(self._model.embed(inputs), dtype=np.float32)
        if request.dimensions is not None:
            vectors = vectors[:, : request.dimensions]
        if request.normalize or request.dimensions is not None:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        rows = tuple(tuple(row) for row in vectors.tolist())
        return EmbeddingResult(rows, sum(len(tokens) for tokens in inputs))

    def _embedding_inputs(self, request: EmbeddingRequest) -> list[list[int]]:
        inputs = [
            self._tokenizer.encode(given, add_special_tokens=True) if isinstance(given, str) else list(given)
            for given in request.inputs
        ]
        limit = self._facts.context_length
        for place, tokens in enumerate(inputs):
            strange = next((token for token in tokens if not 0 <= token < self._facts.vocabulary_size), None)
            if strange is not None:
                message = f"token {strange} is outside the vocabulary of {self._facts.vocabulary_size}"
                raise InvalidRequestError(message, field="input")
            if len(tokens) > limit:
                if not request.truncate:
                    raise ContextOverflowError(EMBED_OVERFLOW, field="input")
                inputs[place] = [*tokens[: limit - 1], tokens[-1]]
        return inputs

    def _settle(
        self, step: Step, logits: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", seconds: float
    ) -> Iterator[EngineEvent]:
        rows = iter(logits)
        for sequence, row in zip(step.sequences, step.batch.rows, strict=True):
            sequence.advance(len(row.tokens), seconds)
            if row.wants_logits:
                yield from self._continue(sequence, next(rows))

    def _continue(
        self, sequence: Sequence, logits: "np.ndarray[tuple[int], np.dtype[np.float32]]"
    ) -> Iterator[EngineEvent]:
        try:
            delta, finished = sequence.take(logits)
        except HomeportError as error:
            self._scheduler.remove([sequence])
            yield EngineEvent(sequence.request_id, error)
            return
        if delta is not None:
            yield EngineEvent(sequence.request_id, delta)
        if finished is not None:
            self._scheduler.remove([sequence])
            yield EngineEvent(sequence.request_id, finished)

    def _fail(self, step: Step, cause: Exception) -> list[EngineEvent]:
        self._scheduler.remove(step.sequences)
        error = GenerationError(f"the forward pass failed: {type(cause).__name__}: {cause}")
        return [EngineEvent(sequence.request_id, error) for sequence in step.sequences]

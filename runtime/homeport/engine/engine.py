"""The engine of one model: requests in, events out, one step at a time."""

import time
from collections import deque
from collections.abc import Iterable, Iterator

import attrs
from loguru import logger

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import GenerationError, HomeportError, UnsupportedError
from homeport.domain.generation import FinishReason, GenerationEvent, GenerationRequest, PromptAccepted
from homeport.engine.embeddings import EmbeddingJob
from homeport.engine.prompts import PromptEncoder
from homeport.engine.sampler import Logits
from homeport.engine.scheduler import Scheduler, Step
from homeport.engine.sequence import Sequence
from homeport.engine.tokenizer import TextTokenizer
from homeport.plugin.protocols import LoadPlan, TokenBatch, TokenModel, TokenModelFacts


@attrs.frozen
class EngineEvent:
    """Something to tell a client: an event of its generation, its vectors, or the error that ended it."""

    request_id: str
    event: GenerationEvent | EmbeddingResult | HomeportError


class Engine:
    """Runs all requests of one model.

    Whatever goes wrong in one request ends that request, and no other. Not thread-safe: everything happens
    in the thread that computes.

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
        self._prompts = PromptEncoder(tokenizer, facts.vocabulary_size)
        self._scheduler = Scheduler(plan.slots)
        self._embeddings: deque[EmbeddingJob] = deque()
        self._window = min(plan.context_length, facts.context_length)

    @property
    def facts(self) -> TokenModelFacts:
        """What the engine knows of its model."""
        return self._facts

    @property
    def busy(self) -> bool:
        """Whether a step would compute anything."""
        return bool(self._scheduler or self._embeddings)

    def submit(self, request: GenerationRequest) -> list[EngineEvent]:
        """Accept a request: tells how long its prompt is, or why it cannot be served."""
        try:
            return self._accept(request)
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            return [_failed(request.id, error, "the prompt could not be prepared")]

    def submit_embedding(self, request: EmbeddingRequest) -> list[EngineEvent]:
        """Accept a request for vectors."""
        if not self._facts.embedding_length:
            message = "this model generates text and computes no embeddings"
            return [EngineEvent(request.id, UnsupportedError(message, field="model"))]
        self._embeddings.append(EmbeddingJob(request, self._tokenizer, self._facts))
        return []

    def cancel(self, request_id: str) -> None:
        """Forget a request and free its slot; unknown ones are ignored, they may just have ended."""
        self._scheduler.remove(self._scheduler.find(request_id))
        self._embeddings = deque(job for job in self._embeddings if job.request_id != request_id)

    def step(self) -> list[EngineEvent]:
        """Compute one token of all running sequences and a slice of one embedding; tell what came of it."""
        events: list[EngineEvent] = []
        if self._scheduler:
            events += self._compute(self._scheduler.schedule())
        if self._embeddings:
            events += self._embed(self._embeddings.popleft())
        return events

    def _accept(self, request: GenerationRequest) -> list[EngineEvent]:
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
        accepted = EngineEvent(request.id, PromptAccepted(len(prompt.tokens), prompt.truncated))
        if sequence.generates_nothing:
            return [accepted, EngineEvent(request.id, sequence.finish(FinishReason.LENGTH))]
        self._scheduler.add(sequence)
        return [accepted]

    def _compute(self, step: Step) -> Iterable[EngineEvent]:
        started = time.perf_counter()
        try:
            logits = self._model.forward(step.batch)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; the worker goes on
            return self._blame(step, error)
        return self._settle(step, logits, time.perf_counter() - started)

    def _blame(self, step: Step, error: Exception) -> Iterator[EngineEvent]:
        """Find whose row fails a step: compute each alone, and end only those that fail again."""
        if len(step.sequences) == 1:
            (sequence,) = step.sequences
            self._scheduler.remove([sequence])
            yield _failed(sequence.request_id, error, "the forward pass failed")
            return
        for sequence, row in zip(step.sequences, step.batch.rows, strict=True):
            yield from self._compute(Step((sequence,), TokenBatch((row,))))

    def _settle(self, step: Step, logits: Iterable[Logits], seconds: float) -> Iterator[EngineEvent]:
        rows = iter(logits)
        for sequence, row in zip(step.sequences, step.batch.rows, strict=True):
            sequence.advance(len(row.tokens), seconds)
            if row.wants_logits:
                yield from self._continue(sequence, next(rows))

    def _continue(self, sequence: Sequence, logits: Logits) -> Iterator[EngineEvent]:
        try:
            delta, finished = sequence.take(logits)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this sequence's own
            self._scheduler.remove([sequence])
            yield _failed(sequence.request_id, error, "choosing a token failed")
            return
        if delta is not None:
            yield EngineEvent(sequence.request_id, delta)
        if finished is not None:
            self._scheduler.remove([sequence])
            yield EngineEvent(sequence.request_id, finished)

    def _embed(self, job: EmbeddingJob) -> Iterator[EngineEvent]:
        """Embed a slice of a job; unfinished, it waits behind the others."""
        try:
            result = job.advance(self._model)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; the worker goes on
            yield _failed(job.request_id, error, "embedding failed")
            return
        if result is None:
            self._embeddings.append(job)
        else:
            yield EngineEvent(job.request_id, result)


def _failed(request_id: str, error: Exception, what: str) -> EngineEvent:
    if isinstance(error, HomeportError):
        return EngineEvent(request_id, error)
    logger.opt(exception=error).error("{} for request {}", what, request_id)
    return EngineEvent(request_id, GenerationError(f"{what}: {type(error).__name__}: {error}"))

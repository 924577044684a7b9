"""The engine of one model: requests in, events out, one step at a time."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs
from loguru import logger

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import ContextOverflowError, GenerationError, HomeportError, UnsupportedError
from homeport.domain.generation import FinishReason, GenerationEvent, GenerationRequest, PromptAccepted
from homeport.engine.block_trie import BLOCK_TOKENS
from homeport.engine.constraint_compiler import ConstraintCompiler
from homeport.engine.embeddings import EmbeddingJob
from homeport.engine.grammar_queue import GrammarQueue, matcher_of
from homeport.engine.labels import Labels
from homeport.engine.logit_bias import check_bias
from homeport.engine.matcher import Matcher
from homeport.engine.options import EngineOptions
from homeport.engine.prefix_cache import PrefixCache, whole_blocks
from homeport.engine.prompts import EncodedPrompt, PromptEncoder
from homeport.engine.sampler import Logits
from homeport.engine.scheduler import Scheduler, Step
from homeport.engine.sequence import Sequence
from homeport.engine.tokenizer import TextTokenizer
from homeport.plugin.token_model import LoadPlan, TokenBatch, TokenModel, TokenModelFacts

_DEFAULTS = EngineOptions()
_SUBMIT_WAIT_SECONDS = 0.005
"""A grammar mostly compiles in 1 ms; so long all wait for it, lest its request miss a step."""
_IDLE_WAIT_SECONDS = 0.05
"""While nothing else is to be done: as long as a cancelled request may go unheard."""


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
        options: How it works.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        model: TokenModel,
        facts: TokenModelFacts,
        tokenizer: TextTokenizer,
        plan: LoadPlan,
        *,
        options: EngineOptions = _DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._facts = facts
        self._tokenizer = tokenizer
        self._prompts = PromptEncoder(tokenizer, facts.vocabulary_size)
        self._compiler = ConstraintCompiler(tokenizer, facts.vocabulary_size)
        self._grammars = GrammarQueue(self._compiler)
        self._embeddings: deque[EmbeddingJob] = deque()
        self._window = min(plan.context_length, facts.context_length)
        self._clock = clock
        self._capacity = _capacity(plan, facts, options, self._window)
        self._cache = PrefixCache(
            model,
            slots=plan.slots,
            capacity=self._capacity,
            remembers=options.remembers and facts.rewinds,
        )
        self._scheduler = Scheduler(
            self._cache,
            most_running=min(options.most_running or plan.slots, plan.slots),
            most_stall_seconds=options.most_stall_seconds,
            speculates=options.speculates and facts.rewinds,
            clock=clock,
        )

    @property
    def facts(self) -> TokenModelFacts:
        """What the engine knows of its model."""
        return self._facts

    @property
    def cached_tokens(self) -> int:
        """How many tokens running and remembered sequences hold."""
        return self._cache.used

    @property
    def busy(self) -> bool:
        """Whether a step would compute anything."""
        return bool(self._scheduler or self._embeddings or self._grammars)

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
        """Forget a request and take back its slot; unknown ones are ignored, they may just have ended."""
        for sequence in self._scheduler.find(request_id):
            self._scheduler.remove(sequence)
        self._embeddings = deque(job for job in self._embeddings if job.request_id != request_id)
        self._grammars.cancel(request_id)

    def step(self) -> list[EngineEvent]:
        """Compute the next tokens of running sequences and a slice of one embedding; tell what came of it."""
        is_idle = not (self._scheduler or self._embeddings)
        events = self._begin_ready(_IDLE_WAIT_SECONDS if is_idle else 0) if self._grammars else []
        if self._scheduler:
            events += self._compute(self._scheduler.schedule())
        if self._embeddings:
            events += self._embed(self._embeddings.popleft())
        return events

    def prepare(self) -> None:
        """Do what a later request would have to wait for; for a time in which nothing else is to be done."""
        if not self._facts.generates:
            return
        try:
            self._compiler.read_vocabulary()
        except UnsupportedError as error:
            logger.debug("{}", error)

    def fit_memory(self, spare_bytes: int) -> None:
        """Let the cache shrink while the machine runs out of memory, and grow again later.

        Args:
            spare_bytes: What it may still take; below 0 it has to give back.
        """
        price = self._facts.kv_bytes_per_token
        if not price:
            return
        self._cache.limit(min(self._cache.used + spare_bytes // price, self._capacity))

    def _accept(self, request: GenerationRequest) -> list[EngineEvent]:
        if not self._facts.generates:
            message = "this model computes embeddings and generates no text"
            raise UnsupportedError(message, field="model")
        window = min(request.context_length or self._window, self._window)
        prompt = self._prompts.encode(
            request.prompt, window=window, truncate=request.truncate, is_formed=request.constraint is not None
        )
        self._check_memory(len(prompt.tokens))
        check_bias(request.sampling.logit_bias, self._facts.vocabulary_size)
        grammar = self._compiler.grammar(request.constraint, prompt.form.offer, prompt.form.tool_format)
        matcher = None if grammar is None else self._compiler.known(grammar)
        if grammar is None or matcher is not None:
            return self._begin(request, prompt, matcher)
        self._grammars.add(request, prompt, grammar)
        return self._begin_ready(_SUBMIT_WAIT_SECONDS)

    def _begin_ready(self, seconds: float) -> list[EngineEvent]:
        """Begin the requests whose grammars were compiled in the meantime."""
        events: list[EngineEvent] = []
        for waiting in self._grammars.ready(seconds):
            try:
                events += self._begin(waiting.request, waiting.prompt, matcher_of(waiting))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's own
                events.append(
                    _failed(waiting.request.id, error, "the form of the answer could not be compiled")
                )
        return events

    def _begin(
        self, request: GenerationRequest, prompt: EncodedPrompt, matcher: Matcher | None
    ) -> list[EngineEvent]:
        prompt, begun = self._prompts.begun(prompt, request.begun)
        if matcher is not None:
            matcher.begin(begun, request.begun)
        labels = None
        if request.sampling.labels:
            labels = Labels(request.sampling.labels, self._tokenizer, self._facts.vocabulary_size)
        window = min(request.context_length or self._window, self._window, self._capacity)
        sequence = Sequence(
            request=request,
            prompt=prompt.tokens + begun,
            begun=len(begun),
            matcher=matcher,
            labels=labels,
            window=window,
            form=prompt.form,
            tokenizer=self._tokenizer,
            arrived_at=self._clock(),
        )
        tokens = len(prompt.tokens) + len(begun)
        accepted = EngineEvent(request.id, PromptAccepted(tokens, prompt.truncated))
        if sequence.generates_nothing and not sequence.is_scoring:
            return [accepted, EngineEvent(request.id, sequence.finish(FinishReason.LENGTH))]
        self._scheduler.add(sequence)
        return [accepted]

    def _check_memory(self, tokens: int) -> None:
        if tokens < self._capacity:
            return
        price = self._facts.kv_bytes_per_token
        raise ContextOverflowError(
            f"the prompt has {tokens} tokens and at least one must fit behind it, but the memory for keys "
            f"and values holds {self._capacity} tokens of {price} bytes",
            field="prompt",
            hint="Shorten the prompt, or raise [models] cache_memory",
        )

    def _compute(self, step: Step) -> Iterable[EngineEvent]:
        started = self._clock()
        try:
            logits = self._forward(step.batch)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; the worker goes on
            return self._blame(step, error)
        seconds = self._clock() - started
        self._scheduler.settle(step, seconds)
        return self._settle(step, logits, seconds)

    def _forward(self, batch: TokenBatch) -> Logits:
        """Compute a batch; a sequence without its logits would wait for ever."""
        logits = self._model.forward(batch)
        wanted = sum(row.logits for row in batch.rows)
        if len(logits) != wanted:
            raise GenerationError(f"the backend gave {len(logits)} rows of logits, and {wanted} were wanted")
        return logits

    def _blame(self, step: Step, error: Exception) -> Iterator[EngineEvent]:
        """Find whose row fails a step: compute each alone, and end only those that fail again."""
        if len(step.sequences) == 1:
            (sequence,) = step.sequences
            self._scheduler.remove(sequence, broken=True)
            yield _failed(sequence.request_id, error, "the forward pass failed")
            return
        for sequence, row in zip(step.sequences, step.batch.rows, strict=True):
            yield from self._compute(Step(sequences=(sequence,), batch=TokenBatch((row,))))

    def _settle(self, step: Step, logits: Logits, seconds: float) -> Iterator[EngineEvent]:
        done = 0
        for sequence, row in zip(step.sequences, step.batch.rows, strict=True):
            rows = logits[done : done + row.logits]
            done += row.logits
            is_scoring = sequence.is_scoring
            count = len(row.tokens) if is_scoring else len(row.tokens) - max(row.logits - 1, 0)
            sequence.advance(count, seconds)
            if count > 1:
                self._cache.note(row.slot, sequence.computed)
            if is_scoring:
                yield from self._score(sequence, row.start, rows)
            elif row.logits:
                yield from self._continue(sequence, rows)

    def _score(self, sequence: Sequence, start: int, rows: Logits) -> Iterator[EngineEvent]:
        """Score the tokens of a prompt; choose the first of the answer when it is whole."""
        try:
            scored = sequence.score(start, rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this sequence's own
            self._scheduler.remove(sequence, broken=True)
            yield _failed(sequence.request_id, error, "scoring the prompt failed")
            return
        if scored is None:
            return
        yield EngineEvent(sequence.request_id, scored)
        if sequence.generates_nothing:
            self._scheduler.remove(sequence)
            yield EngineEvent(sequence.request_id, sequence.finish(FinishReason.LENGTH))
        else:
            yield from self._continue(sequence, rows[-1:])

    def _continue(self, sequence: Sequence, rows: Logits) -> Iterator[EngineEvent]:
        """Choose a token behind the last, and further ones for as long as they were guessed."""
        for logits in rows:
            try:
                deltas, finished = sequence.take(logits)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this sequence's own
                self._scheduler.remove(sequence, broken=True)
                yield _failed(sequence.request_id, error, "choosing a token failed")
                return
            for delta in deltas:
                yield EngineEvent(sequence.request_id, delta)
            if finished is not None:
                self._scheduler.remove(sequence)
                yield EngineEvent(sequence.request_id, finished)
                return
            if not sequence.goes_on():
                return

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


def _capacity(plan: LoadPlan, facts: TokenModelFacts, options: EngineOptions, window: int) -> int:
    """Count the tokens that the cache may hold."""
    whole = plan.slots * whole_blocks(window)
    if plan.cache_bytes is None or not facts.kv_bytes_per_token:
        return whole
    least = whole_blocks(window) if options.fits_one_window else 0
    bounded = max(plan.cache_bytes // facts.kv_bytes_per_token, least)
    return min(bounded // BLOCK_TOKENS * BLOCK_TOKENS, whole)


def _failed(request_id: str, error: Exception, what: str) -> EngineEvent:
    if isinstance(error, HomeportError):
        return EngineEvent(request_id, error)
    logger.opt(exception=error).error("{} for request {}", what, request_id)
    return EngineEvent(request_id, GenerationError(f"{what}: {type(error).__name__}: {error}"))

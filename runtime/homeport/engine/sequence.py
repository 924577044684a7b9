"""One sequence: its tokens, how far they are computed, and when it ends."""

import time
from collections.abc import Sequence as Tokens

from homeport.domain.generation import (
    AnswerDelta,
    Finished,
    FinishReason,
    GenerationRequest,
    PromptScored,
    Usage,
)
from homeport.engine.answer_form import PLAIN_TEXT, AnswerForm
from homeport.engine.guesses import Guesses
from homeport.engine.labels import Labels
from homeport.engine.matcher import Matcher
from homeport.engine.prompt_scores import PromptScores
from homeport.engine.sampler import Logits, Sampler
from homeport.engine.tokenizer import TextTokenizer
from homeport.engine.transcript import Transcript
from homeport.plugin.token_model import TokenRow


class Sequence:
    """A prompt and what is generated after it.

    Attributes:
        request_id: The request it answers.
        priority: How urgent it is.
        owner: Who asks.
        arrived_at: When, on the engine's clock.
        entered_at: When it took its last place.
        tokens: Prompt and generated ids.
        computed: How many of them the cache holds.
        slot: Its place in the cache while it runs.
        guesses: Of the tokens behind its last, computed beside it.

    Args:
        request: What it answers.
        prompt: Its ids, at least one, and those of the answer that are there already.
        begun: How many of them are of the answer.
        matcher: Follows the form that the answer must have; None leaves it free.
        labels: Of which one is the answer; None lets it generate.
        window: Most tokens it may reach, more than the prompt has.
        form: How the answer is to be read.
        tokenizer: Of its model.
        arrived_at: When it came, on the engine's clock.
    """

    def __init__(
        self,
        *,
        request: GenerationRequest,
        prompt: Tokens[int],
        begun: int = 0,
        matcher: Matcher | None = None,
        labels: Labels | None = None,
        window: int,
        form: AnswerForm = PLAIN_TEXT,
        tokenizer: TextTokenizer,
        arrived_at: float,
    ) -> None:
        sampling = request.sampling
        self.request_id = request.id
        self.priority = request.priority
        self.owner = request.owner
        self.arrived_at = self.entered_at = arrived_at
        self.tokens = list(prompt)
        self.computed = 0
        self.slot: int | None = None
        self.guesses = Guesses(self.tokens)
        self._cached_tokens: int | None = None
        self._prompt_tokens = len(prompt)
        room = window - len(prompt)
        self._limit = room if sampling.max_tokens is None else min(room, sampling.max_tokens)
        self._matcher = matcher
        self._labels = labels
        self._scores = None
        if sampling.prompt_logprobs:
            self._scores = PromptScores(
                self.tokens, alternatives=sampling.top_logprobs or 0, tokenizer=tokenizer
            )
        ends = matcher is not None or not sampling.ignores_end
        self._stop_tokens = (tokenizer.stop_tokens | form.end_tokens) if ends else frozenset()
        self._sampler = Sampler(sampling)
        self._sampler.skip(begun)
        self._transcript = Transcript(tokenizer, sampling, self.tokens, form)
        self._prompt_seconds = 0.0
        self._first_token_at: float | None = None

    @property
    def remaining(self) -> int:
        """How many of its tokens are to be computed before the next can be chosen."""
        return len(self.tokens) - self.computed

    @property
    def generates_nothing(self) -> bool:
        """Whether its limit is 0, so that the prompt is computed only to be scored."""
        return self._limit <= 0 and self._labels is None

    @property
    def is_scoring(self) -> bool:
        """Whether the prompt's tokens are being scored, so that all of them must be computed."""
        return self._scores is not None

    @property
    def running_slot(self) -> int:
        """Its place in the cache.

        Raises:
            LookupError: It does not run.
        """
        if self.slot is None:
            raise LookupError(f"sequence {self.request_id!r} does not run")
        return self.slot

    def enter(self, slot: int, known: int, now: float) -> None:
        """Take a slot that holds its first ``known`` tokens already."""
        self.slot = slot
        self.entered_at = now
        self.computed = known
        if self._cached_tokens is None:
            self._cached_tokens = known

    def leave(self) -> int:
        """Give its slot back.

        Raises:
            LookupError: It has none.
        """
        slot, self.slot = self.running_slot, None
        self.guesses.drop()
        return slot

    def guess(self, most: int, most_forced: int) -> int:
        """Guess at most so many tokens behind its last, or take those that its form forces; give how many."""
        if self.is_scoring or self._labels is not None:
            return 0
        left = self._limit - (len(self.tokens) - self._prompt_tokens) - 1
        matcher = self._active_matcher()
        forced = [] if matcher is None else matcher.forced()[: min(most_forced, left)]
        if forced:
            self.guesses.expect(forced)
        elif most:
            self.guesses.propose(min(most, left))
            if matcher is not None and self.guesses.pending:
                self.guesses.keep(matcher.fitting(self.guesses.pending))
        return len(self.guesses.pending)

    def row(self, count: int) -> TokenRow:
        """Plan to compute its next tokens, so many, and those guessed behind the last.

        Raises:
            LookupError: It has no slot.
        """
        tokens = (*self.tokens[self.computed : self.computed + count], *self.guesses.pending)
        logits = 1 + len(self.guesses.pending) if count >= self.remaining else 0
        if self.is_scoring:
            logits = len(tokens)
        return TokenRow(self.running_slot, self.computed, tokens, logits)

    def advance(self, count: int, seconds: float) -> None:
        """Take note of a step that computed its next ``count`` tokens, apart from guesses."""
        if self.computed < self._prompt_tokens:
            self._prompt_seconds += seconds
        self.computed += count

    def goes_on(self) -> bool:
        """Say whether its newest token was guessed: then it is computed, and the next can be chosen."""
        was_right = self.guesses.check(self.tokens[-1])
        self.computed += was_right
        return was_right

    def score(self, start: int, rows: Logits) -> PromptScored | None:
        """Score the prompt's tokens that stand behind those just computed; give all once it is computed.

        Args:
            start: Place of the first computed token.
            rows: Float32 [tokens, vocabulary].
        """
        if self._scores is None:
            return None
        self._scores.add(start, rows)
        if self.remaining:
            return None
        scores, self._scores = self._scores, None
        return scores.event()

    def take(self, logits: Logits) -> tuple[Tokens[AnswerDelta], Finished | None]:
        """Choose the next token; give what became whole of the answer, and the end if this is it.

        Args:
            logits: Of the last computed token, float32 [vocabulary].
        """
        if self._labels is not None:
            return [self._labels.choose(logits)], self.finish(FinishReason.STOP)
        matcher = self._active_matcher()
        choice = self._sampler.choose(logits, self.tokens, None if matcher is None else matcher.allowed())
        self._first_token_at = self._first_token_at or time.perf_counter()
        self.tokens.append(choice.token)
        if choice.token in self._stop_tokens:
            return self._transcript.close(), self.finish(FinishReason.STOP)
        if matcher is not None:
            matcher.take(choice.token)
        deltas, stopped = self._transcript.add(choice)
        if stopped:
            return deltas, self.finish(FinishReason.STOP)
        if matcher is not None and matcher.is_complete:
            return [*deltas, *self._transcript.close()], self.finish(FinishReason.STOP)
        if len(self.tokens) - self._prompt_tokens >= self._limit:
            return [*deltas, *self._transcript.close()], self.finish(FinishReason.LENGTH)
        return deltas, None

    def _active_matcher(self) -> Matcher | None:
        """Give what follows its form; None while it thinks, which is free."""
        return None if self._transcript.is_thinking else self._matcher

    def finish(self, reason: FinishReason) -> Finished:
        """Sum up."""
        first = self._first_token_at
        self.guesses.settle()
        drafted, accepted = self.guesses.counts
        usage = Usage(
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens or 0,
            prompt_seconds=self._prompt_seconds,
            completion_tokens=len(self.tokens) - self._prompt_tokens,
            completion_seconds=0.0 if first is None else time.perf_counter() - first,
            thought_tokens=self._transcript.thought_tokens,
            drafted_tokens=drafted,
            accepted_tokens=accepted,
        )
        return Finished(reason, usage, tuple(self.tokens), self._transcript.stopped_by)

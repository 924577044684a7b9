"""One sequence: its tokens, how far they are computed, and when it ends."""

import time
from collections.abc import Sequence as Tokens

from homeport.domain.generation import Finished, FinishReason, GenerationRequest, TextDelta, Usage
from homeport.engine.guesses import Guesses
from homeport.engine.sampler import Logits, Sampler
from homeport.engine.tokenizer import TextTokenizer
from homeport.engine.transcript import Transcript
from homeport.plugin.protocols import TokenRow


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
        window: Most tokens it may reach, more than the prompt has.
        tokenizer: Of its model.
        arrived_at: When it came, on the engine's clock.
    """

    def __init__(
        self,
        *,
        request: GenerationRequest,
        prompt: Tokens[int],
        begun: int = 0,
        window: int,
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
        self._stop_tokens = tokenizer.stop_tokens
        self._sampler = Sampler(sampling)
        self._sampler.skip(begun)
        self._transcript = Transcript(tokenizer, sampling, self.tokens)
        self._prompt_seconds = 0.0
        self._first_token_at: float | None = None

    @property
    def remaining(self) -> int:
        """How many of its tokens are to be computed before the next can be chosen."""
        return len(self.tokens) - self.computed

    @property
    def generates_nothing(self) -> bool:
        """Whether its limit is 0, so that not even the prompt need be computed."""
        return self._limit <= 0

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

    def guess(self, most: int) -> int:
        """Guess at most so many tokens behind the one chosen next; give how many."""
        left = self._limit - (len(self.tokens) - self._prompt_tokens)
        self.guesses.propose(min(most, left - 1))
        return len(self.guesses.pending)

    def row(self, count: int) -> TokenRow:
        """Plan to compute its next tokens, so many, and those guessed behind the last.

        Raises:
            LookupError: It has no slot.
        """
        tokens = (*self.tokens[self.computed : self.computed + count], *self.guesses.pending)
        logits = 1 + len(self.guesses.pending) if count >= self.remaining else 0
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

    def take(self, logits: Logits) -> tuple[TextDelta | None, Finished | None]:
        """Choose the next token; give new text if some became whole, and the end if this is it.

        Args:
            logits: Of the last computed token, float32 [vocabulary].
        """
        choice = self._sampler.choose(logits, self.tokens)
        self._first_token_at = self._first_token_at or time.perf_counter()
        self.tokens.append(choice.token)
        if choice.token in self._stop_tokens:
            return self._transcript.close(), self.finish(FinishReason.STOP)
        delta, stopped = self._transcript.add(choice)
        if stopped:
            return delta, self.finish(FinishReason.STOP)
        if len(self.tokens) - self._prompt_tokens >= self._limit:
            return _joined(delta, self._transcript.close()), self.finish(FinishReason.LENGTH)
        return delta, None

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
            drafted_tokens=drafted,
            accepted_tokens=accepted,
        )
        return Finished(reason, usage, tuple(self.tokens))


def _joined(first: TextDelta | None, second: TextDelta | None) -> TextDelta | None:
    if first is None or second is None:
        return first or second
    return TextDelta(first.text + second.text, first.logprobs + second.logprobs)

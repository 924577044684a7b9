"""One sequence: its tokens, how far they are computed, and when it ends."""

import time
from collections.abc import Sequence as Tokens

from homeport.domain.generation import Finished, FinishReason, Sampling, TextDelta, Usage
from homeport.engine.sampler import Logits, Sampler
from homeport.engine.tokenizer import TextTokenizer
from homeport.engine.transcript import Transcript


class Sequence:
    """A prompt and what is generated after it.

    Attributes:
        request_id: The request it answers.
        tokens: Prompt and generated ids.
        computed: How many of them the cache holds.
        slot: Its place in the cache while it runs.

    Args:
        request_id: The request it answers.
        prompt: Its ids, at least one.
        sampling: How to continue.
        window: Most tokens it may reach, more than the prompt has.
        tokenizer: Of its model.
    """

    def __init__(
        self,
        *,
        request_id: str,
        prompt: Tokens[int],
        sampling: Sampling,
        window: int,
        tokenizer: TextTokenizer,
    ) -> None:
        self.request_id = request_id
        self.tokens = list(prompt)
        self.computed = 0
        self.slot: int | None = None
        self._prompt_tokens = len(prompt)
        room = window - len(prompt)
        self._limit = room if sampling.max_tokens is None else min(room, sampling.max_tokens)
        self._stop_tokens = tokenizer.stop_tokens
        self._sampler = Sampler(sampling)
        self._transcript = Transcript(tokenizer, sampling, self.tokens)
        self._prompt_seconds = 0.0
        self._first_token_at: float | None = None

    @property
    def in_prompt(self) -> bool:
        """Whether part of the prompt is still to be computed."""
        return self.computed < self._prompt_tokens

    @property
    def generates_nothing(self) -> bool:
        """Whether its limit is 0, so that not even the prompt need be computed."""
        return self._limit <= 0

    def pending(self, most: int) -> Tokens[int]:
        """Give the next tokens to compute, at most so many."""
        return self.tokens[self.computed : self.computed + most]

    def advance(self, count: int, seconds: float) -> None:
        """Take note of a step that computed ``count`` tokens."""
        if self.in_prompt:
            self._prompt_seconds += seconds
        self.computed += count

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
        usage = Usage(
            prompt_tokens=self._prompt_tokens,
            prompt_seconds=self._prompt_seconds,
            completion_tokens=len(self.tokens) - self._prompt_tokens,
            completion_seconds=0.0 if first is None else time.perf_counter() - first,
        )
        return Finished(reason, usage, tuple(self.tokens))


def _joined(first: TextDelta | None, second: TextDelta | None) -> TextDelta | None:
    if first is None or second is None:
        return first or second
    return TextDelta(first.text + second.text, first.logprobs + second.logprobs)

"""What the client reads of a sequence: text without stop texts, and log-probabilities beside it."""

from collections import deque
from collections.abc import Sequence

from homeport.domain.generation import Sampling, TextDelta, TokenLogprob
from homeport.engine.detokenizer import Detokenizer
from homeport.engine.sampler import Choice
from homeport.engine.stop_texts import StopTexts
from homeport.engine.tokenizer import TextTokenizer

_CONTINUED_TOKENS = 4


class Transcript:
    """Turns chosen tokens into deltas.

    Log-probabilities wait until all text of their token is sent, so that those of a stop text never are.
    """

    def __init__(self, tokenizer: TextTokenizer, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer.decode, prompt[-_CONTINUED_TOKENS:])
        self._stops = StopTexts(sampling.stop)
        self._with_logprobs = sampling.top_logprobs is not None
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        self._decoded = 0
        self._sent = 0

    def add(self, choice: Choice) -> tuple[TextDelta | None, bool]:
        """Take a token; give new text, if any became whole, and whether a stop text was reached."""
        piece = self._detokenizer.add(choice.token)
        self._decoded += len(piece)
        if self._with_logprobs:
            self._waiting.append((self._decoded, self._logprob(choice)))
        text, stopped = self._stops.add(piece)
        return self._delta(text), stopped

    def close(self) -> TextDelta | None:
        """Give what was held back, when no stop text came."""
        text, stopped = self._stops.add(self._detokenizer.flush())
        return self._delta(text if stopped else text + self._stops.flush())

    def _delta(self, text: str) -> TextDelta | None:
        self._sent += len(text)
        if not self._waiting:
            return TextDelta(text) if text else None
        logprobs = []
        while self._waiting and self._waiting[0][0] <= self._sent:
            logprobs.append(self._waiting.popleft()[1])
        return TextDelta(text, tuple(logprobs)) if text or logprobs else None

    def _logprob(self, choice: Choice) -> TokenLogprob:
        alternatives = tuple((self._token_text(token), logprob) for token, logprob in choice.alternatives)
        return TokenLogprob(self._token_text(choice.token), choice.logprob, alternatives)

    def _token_text(self, token: int) -> str:
        return self._tokenizer.decode([token], skip_special_tokens=False)

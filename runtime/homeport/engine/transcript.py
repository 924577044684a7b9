"""What the client reads of a sequence: the answer told apart, and log-probabilities beside it."""

from collections import deque
from collections.abc import Sequence

import attrs

from homeport.domain.generation import AnswerDelta, Sampling, TokenLogprob
from homeport.engine.answer_form import PLAIN_TEXT, AnswerForm
from homeport.engine.answer_reader import AnswerReader
from homeport.engine.deltas import joined
from homeport.engine.detokenizer import Detokenizer
from homeport.engine.sampler import Choice
from homeport.engine.tokenizer import TextTokenizer

_CONTINUED_TOKENS = 4


class Transcript:
    """Turns chosen tokens into deltas.

    Log-probabilities wait until all text of their token is sent, so that those of a stop text never are,
    and go with the delta that this text is in.

    Args:
        tokenizer: Of the model.
        sampling: What ends the answer, and whether log-probabilities are wanted.
        prompt: Ids that the answer continues.
        form: What it may hold beside text.

    Attributes:
        thought_tokens: How many tokens were thoughts so far, their markers among them.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        sampling: Sampling,
        prompt: Sequence[int],
        form: AnswerForm = PLAIN_TEXT,
    ) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer.decoder(form.marks), prompt[-_CONTINUED_TOKENS:])
        self._reader = AnswerReader(form, sampling.stop)
        self._with_logprobs = sampling.top_logprobs is not None
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        self._decoded = 0
        self._read = 0
        self.thought_tokens = 0

    @property
    def is_thinking(self) -> bool:
        """Whether what comes next is a thought."""
        return self._reader.is_thinking

    @property
    def stopped_by(self) -> str:
        """The stop text that was reached; empty where none was."""
        return self._reader.stopped_by

    def add(self, choice: Choice) -> tuple[Sequence[AnswerDelta], bool]:
        """Take a token; give what became whole, and whether nothing may follow it."""
        was_thinking = self.is_thinking
        piece = self._detokenizer.add(choice.token)
        self._decoded += len(piece)
        if self._with_logprobs:
            self._waiting.append((self._decoded, self._logprob(choice)))
        deltas = self._deltas(piece)
        self.thought_tokens += was_thinking or self.is_thinking
        return deltas, self._reader.is_done

    def close(self) -> Sequence[AnswerDelta]:
        """Give what was held back, when nothing ended the answer before."""
        piece = self._detokenizer.flush()
        self._decoded += len(piece)
        deltas = self._deltas(piece)
        if not self._reader.is_done:
            deltas += self._settled(self._reader.close())
        return joined(deltas)

    def _deltas(self, piece: str) -> list[AnswerDelta]:
        """Read a piece, letter by letter where each one's place matters."""
        deltas: list[AnswerDelta] = []
        for part in piece if self._with_logprobs else [piece]:
            if self._reader.is_done:
                break
            self._read += len(part)
            deltas += self._settled(self._reader.add(part))
        return joined([*deltas, *self._settled([])])

    def _settled(self, deltas: list[AnswerDelta]) -> list[AnswerDelta]:
        """Put log-probabilities beside the last delta, those of tokens of which nothing is held any more."""
        sent = self._read - self._reader.held
        logprobs = []
        while self._waiting and self._waiting[0][0] <= sent:
            logprobs.append(self._waiting.popleft()[1])
        if not logprobs:
            return deltas
        *before, last = deltas or [self._reader.place]
        return [*before, attrs.evolve(last, logprobs=tuple(logprobs))]

    def _logprob(self, choice: Choice) -> TokenLogprob:
        alternatives = tuple((self._token_text(token), logprob) for token, logprob in choice.alternatives)
        return TokenLogprob(self._token_text(choice.token), choice.logprob, alternatives)

    def _token_text(self, token: int) -> str:
        return self._tokenizer.decode([token], skip_special_tokens=False)

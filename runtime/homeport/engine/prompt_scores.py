"""How likely the tokens of a prompt are, found beside its computation."""

import math
from collections.abc import Sequence

from homeport.domain.errors import GenerationError
from homeport.domain.generation import PromptScored, TokenLogprob
from homeport.engine.logits import Logits, likeliest, log_sum_exp
from homeport.engine.tokenizer import TextTokenizer

MOST_SCORED_TOKENS = 64
"""Prompt tokens of one step whose logits are wanted: 39 MB of them with 152,000 ids."""


class PromptScores:
    """Gathers the log-probabilities of one prompt's tokens, part by part.

    Args:
        tokens: The prompt, at least one token.
        alternatives: How many of the likeliest tokens are reported at each place.
        tokenizer: Of the model.
    """

    def __init__(self, tokens: Sequence[int], *, alternatives: int, tokenizer: TextTokenizer) -> None:
        self._tokens = tuple(tokens)
        self._alternatives = alternatives
        self._tokenizer = tokenizer
        self._logprobs = [TokenLogprob(self._text(self._tokens[0]), 0.0)]

    @property
    def is_whole(self) -> bool:
        """Whether all tokens have theirs."""
        return len(self._logprobs) == len(self._tokens)

    def add(self, start: int, rows: Logits) -> None:
        """Take the logits behind some tokens; what was scored before stays.

        Args:
            start: Place of the first of these tokens.
            rows: Float32 [tokens, vocabulary].

        Raises:
            GenerationError: The model computed what is no number.
        """
        for place, logits in enumerate(rows, start + 1):
            if place == len(self._logprobs) < len(self._tokens):
                self._logprobs.append(self._logprob(self._tokens[place], logits))

    def event(self) -> PromptScored:
        """Give what was gathered."""
        return PromptScored(tuple(self._logprobs))

    def _logprob(self, token: int, logits: Logits) -> TokenLogprob:
        normaliser = log_sum_exp(logits, float(logits.max()))
        if not math.isfinite(normaliser):
            raise GenerationError("the model computed logits that are not numbers")
        ids = likeliest(logits, self._alternatives) if self._alternatives else ()
        alternatives = tuple((self._text(int(each)), float(logits[each]) - normaliser) for each in ids)
        return TokenLogprob(self._text(token), float(logits[token]) - normaliser, alternatives)

    def _text(self, token: int) -> str:
        return self._tokenizer.decode([token], skip_special_tokens=False)

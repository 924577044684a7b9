"""The form of one answer while it is generated: which tokens may come next."""

from collections.abc import Callable, Sequence

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from homeport.domain.errors import GenerationError, InvalidRequestError
from homeport.engine.logits import Ids

_WORD_BITS = 32


class Matcher:
    """Follows one answer through its grammar.

    Args:
        grammar: At the beginning of an answer; belongs to this one from now on.
        tokenizer: That of the grammar.
        vocabulary_size: Length of a row of logits.
        field: Of the request, for errors.
        give_up: Called when the grammar cannot be followed any further.
    """

    def __init__(
        self,
        grammar: LLMatcher,
        tokenizer: LLTokenizer,
        *,
        vocabulary_size: int,
        field: str,
        give_up: Callable[[], object],
    ) -> None:
        self._give_up = give_up
        self._grammar = grammar
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._field = field
        self._mask = np.zeros(-(-tokenizer.vocab_size // _WORD_BITS), dtype=np.int32)

    @property
    def is_complete(self) -> bool:
        """Whether the answer has its form and nothing may follow."""
        return self._grammar.is_stopped() and not self._grammar.is_error()

    def allowed(self) -> Ids:
        """Give the ids that may come next, rising; those that end an answer are among them where it may end.

        Raises:
            InvalidRequestError: The grammar takes more work than a step may, or lets nothing follow.
        """
        self._grammar.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little", count=self._vocabulary_size)
        ids = np.flatnonzero(bits)
        if self._grammar.is_error() or not ids.size:
            raise self._too_complex()
        return ids

    def forced(self) -> list[int]:
        """Give the tokens that must come next, often none: there is no other way to go on."""
        return list(self._grammar.compute_ff_tokens())

    def fitting(self, tokens: Sequence[int]) -> int:
        """Count how many of some tokens, from the first, may come next one after the other."""
        return int(self._grammar.validate_tokens(list(tokens)))

    def take(self, token: int) -> None:
        """Take note of the next token, which must be allowed.

        Raises:
            InvalidRequestError: The grammar takes more work than a step may.
        """
        if not self._grammar.consume_token(token):
            raise self._too_complex()

    def begin(self, tokens: Sequence[int], text: str) -> None:
        """Take note of the part of an answer that is there already.

        Args:
            tokens: The part as the sequence holds it.
            text: The same, for where its tokens stand for more, as a blank before the first word.

        Raises:
            GenerationError: An answer of this form does not begin so.
        """
        taken = self._grammar.try_consume_tokens(list(tokens))
        if taken == len(tokens):
            return
        self._grammar.rollback(taken)
        others = self._tokenizer.greedy_tokenize(text)
        if self._grammar.try_consume_tokens(others) != len(others):
            raise GenerationError("the answer so far does not have the form that is asked for")

    def _too_complex(self) -> InvalidRequestError:
        self._give_up()
        reason = self._grammar.get_error().partition("\n")[0] or "no token may follow"
        return InvalidRequestError(
            f"invalid {self._field}: its grammar cannot be followed: {reason}",
            field=self._field,
            hint="Bound counts and lengths more tightly, or nest less",
        )

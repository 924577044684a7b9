"""How many tokens to guess, learned from how many guesses came true."""

_FIRST_TOKENS = 4
_PROBE_TOKENS = 2
_MOST_TOKENS = 16
_FIRST_REST_TOKENS = 4
_LONGEST_REST_TOKENS = 64


class DraftLength:
    """Grows while guesses come true, shrinks to nothing while they do not, and then probes now and again.

    A guess that comes true as a whole doubles the length, one that fails as a whole halves it. At 0 it
    rests for some tokens before it probes with two, and each rest is twice as long as the one before until
    a guess holds. So text that cannot be guessed costs three checked tokens in 64.

    Attributes:
        tokens: Most tokens to guess now.
    """

    def __init__(self) -> None:
        self.tokens = _FIRST_TOKENS
        self._next_rest = _FIRST_REST_TOKENS
        self._rest = 0

    def record(self, proposed: int, accepted: int) -> None:
        """Take note of a guess of at least one token, and how many from its beginning came true."""
        if accepted == proposed:
            self.tokens = min(max(self.tokens, 2 * proposed), _MOST_TOKENS)
        elif not accepted:
            self.tokens //= 2
        if accepted:
            self._next_rest = _FIRST_REST_TOKENS
        if not self.tokens:
            self._rest = self._next_rest
            self._next_rest = min(2 * self._rest, _LONGEST_REST_TOKENS)

    def pass_over(self, tokens: int) -> None:
        """Take note that the sequence grew, by guesses or without."""
        if self.tokens:
            return
        self._rest -= tokens
        if self._rest <= 0:
            self.tokens = _PROBE_TOKENS

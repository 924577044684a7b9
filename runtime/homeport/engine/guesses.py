"""Tokens guessed behind the end of one sequence, and how far they come true."""

from collections.abc import Sequence

from homeport.engine.drafter import Drafter


class Guesses:
    """One guess at a time: proposed, computed beside the sequence's last token, and checked token by token.

    Attributes:
        pending: Guessed tokens that are not checked yet.

    Args:
        tokens: The sequence, which grows at its end.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.pending: tuple[int, ...] = ()
        self._tokens = tokens
        self._drafter: Drafter | None = None
        self._seen = 0
        self._proposed = 0
        self._right = 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many tokens were checked so far, and how many of them came true."""
        return (0, 0) if self._drafter is None else (self._drafter.proposed, self._drafter.accepted)

    def propose(self, most: int) -> bool:
        """Guess at most so many tokens; say whether there is a guess."""
        if self._drafter is None:
            self._drafter = Drafter(self._tokens)
        else:
            self._drafter.extend(self._tokens[self._seen :])
        self._seen = len(self._tokens)
        self.pending = tuple(self._drafter.propose(most))
        self._proposed, self._right = len(self.pending), 0
        return bool(self.pending)

    def expect(self, tokens: Sequence[int]) -> None:
        """Take tokens that must come, which teach nothing about guessing."""
        self.pending = tuple(tokens)
        self._proposed = self._right = 0

    def keep(self, count: int) -> None:
        """Give up all but the first tokens of a guess that is not computed yet."""
        self.pending = self.pending[:count]
        self._proposed = len(self.pending)

    def check(self, token: int) -> bool:
        """Say whether a token that was chosen is the one guessed; the first that is not ends the guess."""
        if not self.pending:
            return False
        is_right = token == self.pending[0]
        self._right += is_right
        self.pending = self.pending[1:] if is_right else ()
        if not self.pending:
            self.settle()
        return is_right

    def settle(self) -> None:
        """End a guess that was computed."""
        if self._drafter is not None:
            self._drafter.record(self._proposed, self._right)
        self.drop()

    def drop(self) -> None:
        """Give a guess up as if it had not been made."""
        self.pending = ()
        self._proposed = self._right = 0

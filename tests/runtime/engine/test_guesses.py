import pytest

from homeport.engine.guesses import Guesses

TEXT = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]


@pytest.fixture
def tokens():
    """A sequence that begins to repeat itself."""
    return list(TEXT)


def test_right_guesses_are_confirmed_until_the_first_wrong_one(tokens):
    """The choice that differs ends the guess, and counts tell what was checked."""
    guesses = Guesses(tokens)
    assert guesses.propose(4)
    assert guesses.pending == (4, 5, 6, 7)
    assert [guesses.check(token) for token in (4, 5, 9)] == [True, True, False]
    assert guesses.pending == ()
    assert guesses.counts == (4, 2)
    assert not guesses.check(6)


def test_guess_that_was_not_computed_does_not_count(tokens):
    """Dropping leaves no trace, and the next guess is made anew."""
    guesses = Guesses(tokens)
    assert guesses.counts == (0, 0)
    guesses.propose(4)
    guesses.drop()
    assert guesses.counts == (0, 0)
    tokens += [4, 5]
    guesses.propose(2)
    assert guesses.pending == (6, 7)


def test_sequence_that_ends_within_a_guess_counts_what_was_right(tokens):
    """Settling takes what was checked so far."""
    guesses = Guesses(tokens)
    guesses.propose(4)
    guesses.check(4)
    guesses.settle()
    assert guesses.counts == (4, 1)
    assert guesses.pending == ()


def test_nothing_is_proposed_for_no_room(tokens):
    """A bound of 0 or less gives no guess."""
    guesses = Guesses(tokens)
    assert not guesses.propose(0)
    assert not guesses.propose(-1)

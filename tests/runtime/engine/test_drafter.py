import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.engine.drafter import Drafter

TOKENS = st.lists(st.integers(0, 3), max_size=40)
ENOUGH = 4


def by_hand(tokens, most):
    """Look for the longest match at every place, as the documentation of ``propose`` says."""
    for length in range(8, 1, -1):
        ends = [end for end in range(length, len(tokens)) if tokens[end - length : end] == tokens[-length:]]
        if ends:
            fitting = [end for end in ends if end + most <= len(tokens)]
            begin = fitting[-1] if fitting else ends[0]
            return tokens[begin : begin + most]
    return []


@given(TOKENS, st.integers(0, ENOUGH))
def test_guess_is_what_followed_the_longest_match(tokens, most):
    """Any sequence is continued as a plain search would, and never by more than was asked for."""
    guess = Drafter(tokens).propose(most)
    assert guess == by_hand(tokens, most)
    assert len(guess) <= most


@given(TOKENS, st.lists(TOKENS, max_size=5))
def test_growing_sequence_is_continued_like_a_known_one(first, pieces):
    """How the tokens came makes no difference."""
    drafter = Drafter(first)
    tokens = list(first)
    for piece in pieces:
        drafter.extend(piece)
        tokens += piece
        assert drafter.propose(ENOUGH) == Drafter(tokens).propose(ENOUGH)


def test_tokens_given_are_copied():
    """What the caller does with its own list later changes no guess."""
    tokens = [1, 2, 3, 1, 2]
    drafter = Drafter(tokens)
    tokens[2] = 9
    assert drafter.propose(1) == [3]


def test_later_occurrence_wins():
    """Of equal matches the newer one is likelier to go on."""
    assert Drafter([1, 2, 3, 0, 1, 2, 4, 0, 1, 2]).propose(1) == [4]


def test_repetition_is_continued_in_full():
    """A loop offers as many tokens as are asked for, though its latest turn leaves just one."""
    assert Drafter([7] * 12).propose(4) == [7] * 4
    assert Drafter([1, 2, 3] * 5).propose(4) == [1, 2, 3, 1]


@pytest.mark.parametrize("tokens", [[], [1], [1, 2], [1, 2, 3], [1, 3, 2, 3]])
def test_new_text_is_not_guessed(tokens):
    """Without an earlier occurrence of the last two tokens there is no guess."""
    assert Drafter(tokens).propose(ENOUGH) == []


def test_failed_guesses_end_guessing_and_it_starts_again_after_a_rest():
    """Each failure halves the guess down to nothing; a few tokens later there is a short one."""
    drafter = Drafter([1, 2, 3, 4, 5, 6, 7, 8, 9] * 3)
    lengths = []
    while guess := drafter.propose(100):
        lengths.append(len(guess))
        drafter.record(len(guess), 0)
    assert lengths == [4, 2, 1]
    waited = 0
    while not drafter.propose(100):
        drafter.extend([1 + waited % 9])
        waited += 1
    assert waited == 4
    assert len(drafter.propose(100)) == 2


def test_what_was_checked_is_counted():
    """Guesses that were not checked count nowhere."""
    drafter = Drafter([1, 2, 1, 2])
    drafter.record(0, 0)
    drafter.record(4, 3)
    drafter.record(2, 0)
    assert (drafter.proposed, drafter.accepted) == (6, 3)

from hypothesis import given
from hypothesis import strategies as st

from homeport.engine.draft_length import DraftLength


def checked(length, tokens, share=0.0):
    """Grow a sequence token by token where ``share`` of each guess holds; count checked tokens."""
    total = 0
    while tokens > 0:
        proposed = length.tokens
        accepted = int(proposed * share)
        if proposed:
            length.record(proposed, accepted)
        length.pass_over(accepted + 1)
        tokens -= accepted + 1
        total += proposed
    return total


def test_text_that_cannot_be_guessed_costs_little():
    """In the long run less than a token in twenty is checked in vain."""
    length = DraftLength()
    checked(length, 200)
    assert checked(length, 6_400) <= 6_400 / 20


def test_guesses_that_hold_grow_up_to_a_bound():
    """A length of 16 is reached in few steps and never passed."""
    length = DraftLength()
    seen = []
    for _ in range(4):
        length.record(length.tokens, length.tokens)
        seen.append(length.tokens)
    assert seen == [8, 16, 16, 16]


def test_bounded_guess_that_holds_does_not_shrink_the_length():
    """An engine that asks for less than was offered learns nothing about longer guesses."""
    length = DraftLength()
    length.record(1, 1)
    assert length.tokens == 4


def test_partly_true_guess_keeps_the_length():
    """Some use is no reason to change."""
    length = DraftLength()
    length.record(4, 1)
    assert length.tokens == 4


def test_success_shortens_the_next_rest():
    """After a guess that held, failures cost no more than at the beginning."""
    length = DraftLength()
    checked(length, 500)
    while not length.tokens:
        length.pass_over(1)
    length.record(2, 2)
    for _ in range(3):
        length.record(length.tokens, 0)
    assert length.tokens == 0
    length.pass_over(4)
    assert length.tokens == 2


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 9)), max_size=60))
def test_length_stays_within_its_bounds_and_always_comes_back(history):
    """Whatever happens, it is 0 to 16, and never 0 for more than 64 tokens."""
    length = DraftLength()
    for proposed, accepted, grown in history:
        length.record(proposed, min(accepted, proposed))
        length.pass_over(grown)
        assert 0 <= length.tokens <= 16
    length.pass_over(64)
    assert length.tokens > 0

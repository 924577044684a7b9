from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport import Sampling
from homeport.engine.penalties import Penalties, TokenCounts

LOGITS = np.array([0.5, -0.5, 2.0, -2.0, 0.0, 1.0], dtype=np.float32)
TOKENS = st.lists(st.integers(0, len(LOGITS) - 1))


def by_hand(logits, sampling, history):
    """Penalise one token after the other, as the documentation of ``Sampling`` says."""
    last = sampling.repeat_last_n
    window = history if last < 0 else history[len(history) - min(last, len(history)) :]
    scores = [float(score) for score in logits]
    for token, count in Counter(window).items():
        repeat = sampling.repeat_penalty
        scores[token] = scores[token] / repeat if scores[token] > 0 else scores[token] * repeat
        scores[token] -= sampling.presence_penalty + sampling.frequency_penalty * count
    return scores


@given(st.lists(TOKENS, max_size=6), st.integers(-1, 9))
def test_growing_and_cut_histories_are_penalised_as_if_seen_anew(pieces, window):
    """What is kept from step to step never shows: neither growth, nor a cut, nor the moving window."""
    sampling = Sampling(
        repeat_penalty=1.5, presence_penalty=0.25, frequency_penalty=0.125, repeat_last_n=window
    )
    penalties = Penalties(sampling)
    history = []
    for piece in pieces:
        history += piece
        expected = by_hand(LOGITS, sampling, history)
        assert penalties.apply(LOGITS, history).tolist() == pytest.approx(expected)
        del history[len(history) - len(history) // 3 :]
        expected = by_hand(LOGITS, sampling, history)
        assert penalties.apply(LOGITS, history).tolist() == pytest.approx(expected)
        history += piece


@pytest.mark.parametrize(
    ("sampling", "active"),
    [
        (Sampling(), False),
        (Sampling(repeat_penalty=1.1), True),
        (Sampling(repeat_penalty=0.9), True),
        (Sampling(presence_penalty=-1), True),
        (Sampling(frequency_penalty=0.1), True),
        (Sampling(repeat_penalty=1.1, repeat_last_n=0), False),
    ],
)
def test_penalties_that_change_nothing_are_not_active(sampling, active):
    """Their step can be left out."""
    assert Penalties(sampling).active is active


def test_logits_are_not_changed():
    """The caller's array stays as it is."""
    before = LOGITS.copy()
    Penalties(Sampling(repeat_penalty=2)).apply(LOGITS, [1, 2])
    assert (before == LOGITS).all()


@given(TOKENS, TOKENS)
def test_counts_are_those_of_the_tokens_held(first, more):
    """Adding and removing one by one gives what counting at once gives."""
    counts = TokenCounts(first)
    for token in more:
        counts.add(token)
    for token in first:
        counts.remove(token)
    held = dict(zip(counts.tokens.tolist(), counts.counts.tolist(), strict=True))
    assert held == Counter(more)

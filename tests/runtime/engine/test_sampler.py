import numpy as np
import pytest

from homeport import GenerationError, Sampling
from homeport.engine.sampler import Sampler

LOGITS = np.array([0.0, 3.0, 1.0, 2.0, -1.0], dtype=np.float32)


def draws(sampling, logits=LOGITS, history=(), count=400):
    sampler = Sampler(sampling)
    return [sampler.choose(logits, history).token for _ in range(count)]


def test_temperature_zero_takes_the_likeliest():
    """Greedy sampling ignores the seed."""
    assert set(draws(Sampling(temperature=0), count=5)) == {1}


def test_draws_follow_the_softmax():
    """Without filters, frequencies approach the probabilities."""
    sampling = Sampling(temperature=1, top_k=0, top_p=1, seed=1)
    counts = np.bincount(draws(sampling, count=4000), minlength=5) / 4000
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum()
    assert np.abs(counts - expected).max() < 0.03


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(temperature=5, top_k=2, top_p=1, seed=1), {1, 3}),
        (Sampling(temperature=1, top_k=0, top_p=0.5, seed=1), {1}),
        (Sampling(temperature=1, top_k=0, top_p=0.8, seed=1), {1, 3}),
        (Sampling(temperature=1, top_k=0, top_p=1, min_p=0.3, seed=1), {1, 3}),
        (Sampling(temperature=1, top_k=0, top_p=1, min_p=1, seed=1), {1}),
    ],
)
def test_filters_keep_just_the_likeliest(sampling, allowed):
    """top-k, top-p and min-p leave the tokens that their definitions name."""
    assert set(draws(sampling)) == allowed


def test_repeat_penalty_divides_positive_and_multiplies_negative_logits():
    """A token that was seen loses to an unseen one."""
    assert draws(Sampling(temperature=0, repeat_penalty=2), history=[1], count=1) == [3]
    negative = np.array([-1.0, -1.1], dtype=np.float32)
    assert draws(Sampling(temperature=0, repeat_penalty=2), negative, history=[0], count=1) == [1]


def test_frequency_penalty_grows_with_each_occurrence_and_presence_does_not():
    """Their formulas differ just in the count."""
    assert draws(Sampling(temperature=0, frequency_penalty=0.6), history=[1, 1], count=1) == [3]
    assert draws(Sampling(temperature=0, presence_penalty=0.6), history=[1, 1], count=1) == [1]


def test_penalties_see_only_their_window():
    """``repeat_last_n`` bounds what counts as seen; 0 is off, -1 is all."""
    penalty = {"temperature": 0, "repeat_penalty": 9.0}
    history = [1, 0, 0]
    assert draws(Sampling(**penalty, repeat_last_n=2), history=history, count=1) == [1]
    assert draws(Sampling(**penalty, repeat_last_n=0), history=[1], count=1) == [1]
    assert draws(Sampling(**penalty, repeat_last_n=-1), history=history, count=1) == [3]


def test_logits_are_not_changed():
    """The caller's array stays as it is."""
    before = LOGITS.copy()
    draws(Sampling(repeat_penalty=2, top_logprobs=3), history=[1], count=1)
    assert (before == LOGITS).all()


def test_logprobs_are_those_of_the_raw_distribution():
    """Penalties and filters do not show in log-probabilities."""
    choice = Sampler(Sampling(temperature=0, repeat_penalty=2, top_logprobs=2)).choose(LOGITS, [1])
    normaliser = np.log(np.exp(LOGITS.astype(float)).sum())
    assert choice.token == 3
    assert choice.logprob == pytest.approx(2 - normaliser)
    assert [token for token, _ in choice.alternatives] == [1, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(bad):
    """A broken model cannot choose silently."""
    logits = LOGITS.copy()
    logits[2] = bad
    with pytest.raises(GenerationError, match="not numbers"):
        Sampler(Sampling()).choose(logits, [])

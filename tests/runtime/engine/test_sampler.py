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
        (Sampling(temperature=1, top_k=0, top_p=1, typical_p=0.2, seed=1), {3}),
        (Sampling(temperature=1, top_k=0, top_p=1, typical_p=0.8, seed=1), {1, 3}),
        (Sampling(temperature=1, top_k=1, top_p=1, typical_p=0.2, seed=1), {1}),
    ],
)
def test_filters_keep_just_the_likeliest(sampling, allowed):
    """top-k, typical-p, top-p and min-p leave the tokens that their definitions name."""
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


def test_row_of_minus_infinity_is_an_error():
    """Where nothing is possible there is nothing to choose."""
    with pytest.raises(GenerationError, match="not numbers"):
        Sampler(Sampling(temperature=0)).choose(np.full(9, -np.inf, dtype=np.float32), [])


def by_hand(logits, sampling, ticket):
    """Draw as the filters are defined: all ids ranked, all probabilities in float64."""
    ranked = np.lexsort((np.arange(len(logits)), -logits))
    ranked = ranked[: sampling.top_k] if sampling.top_k > 0 else ranked
    scores = logits[ranked].astype(np.float64) / sampling.temperature
    probabilities = np.exp(scores - scores[0]) / np.exp(scores - scores[0]).sum()
    keep = len(ranked)
    if sampling.top_p < 1:
        keep = min(keep, int(np.searchsorted(probabilities.cumsum(), sampling.top_p)) + 1)
    keep = min(keep, int((probabilities >= sampling.min_p * probabilities[0]).sum()))
    reached = probabilities[:keep].cumsum()
    return int(ranked[np.searchsorted(reached, ticket * reached[-1], side="right")])


@pytest.mark.parametrize("size", [5, 1_024, 30_011])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 0},
        {"top_k": 2_000, "top_p": 1, "temperature": 3},
        {"top_k": 0, "top_p": 1, "temperature": 1},
        {"top_k": 0, "top_p": 1, "temperature": 9},
        {"top_k": 0, "top_p": 0.99, "temperature": 4},
        {"top_k": 0, "top_p": 1, "temperature": 2, "min_p": 0.02},
        {"top_k": 0, "top_p": 1, "temperature": 5, "min_p": 0.02},
        {"top_k": 0, "top_p": 0.999, "temperature": 9, "min_p": 0.001},
    ],
)
def test_tokens_are_those_of_a_full_ranking_with_the_same_seed(size, options):
    """Ranking just a head of the vocabulary changes no draw, whether the tail is reached or not."""
    logits = (np.random.default_rng(size).standard_normal(size) * 4).astype(np.float32)
    sampling = Sampling(**{"seed": 11, **options})
    tickets = np.random.default_rng(11).random(60)
    expected = [by_hand(logits, sampling, ticket) for ticket in tickets]
    assert draws(sampling, logits, count=60) == expected


@pytest.mark.parametrize(
    "sampling", [Sampling(seed=1), Sampling(seed=1, top_k=0, top_p=1, temperature=1e300)]
)
def test_impossible_tokens_are_never_drawn(sampling):
    """A logit of minus infinity stands for a probability of 0 at any temperature."""
    logits = np.full(3_000, -np.inf, dtype=np.float32)
    logits[[5, 2_999]] = [1, 2]
    assert set(draws(sampling, logits, count=40)) == {5, 2_999}

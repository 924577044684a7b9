import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from homeport.engine.logits import exponential_sum, likeliest, log_sum_exp

SCORES = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -np.inf]
)


def by_hand(logits, count):
    """Sort by falling logit, then by rising id."""
    return sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:count]


@given(arrays(np.float32, st.integers(1, 200), elements=SCORES), st.integers(1, 220))
def test_likeliest_are_the_highest_with_ties_by_id(logits, count):
    """Any logits, ties and signed zeros among them, give one order."""
    assert likeliest(logits, count).tolist() == by_hand(logits.tolist(), count)


@pytest.mark.parametrize("size", [1_000, 4_099, 50_000])
@pytest.mark.parametrize("count", [1, 2, 40, 1_024, 16_384])
@pytest.mark.parametrize("levels", [3, 1_000, 2**24])
def test_bound_of_candidates_loses_none(size, count, levels):
    """Rows long enough for the shortcut give what sorting them would, with many equal logits or few."""
    logits = np.random.default_rng(size).integers(-levels, levels, size).astype(np.float32)
    assert likeliest(logits, count).tolist() == by_hand(logits.tolist(), count)


@pytest.mark.parametrize("count", [0, -1])
def test_no_count_ranks_all(count):
    """0 and less are no bound."""
    assert likeliest(np.array([1, 3, 2], dtype=np.float32), count).tolist() == [1, 2, 0]


def test_likeliest_of_a_row_that_is_not_contiguous():
    """A column of a matrix is a row of logits too."""
    matrix = np.random.default_rng(3).standard_normal((9_000, 2)).astype(np.float32)
    assert likeliest(matrix[:, 1], 40).tolist() == by_hand(matrix[:, 1].tolist(), 40)


@pytest.mark.parametrize("temperature", [1e-5, 0.5, 1, 20, 1e300])
def test_sum_of_exponentials_is_that_of_float64(temperature):
    """Single precision costs less than a part in a hundred thousand."""
    logits = (np.random.default_rng(1).standard_normal(50_000) * 3).astype(np.float32)
    logits[7] = -np.inf
    exact = np.exp((logits.astype(np.float64) - logits.max()) / temperature).sum()
    assert exponential_sum(logits, float(logits.max()), temperature) == pytest.approx(exact, rel=1e-5)


def test_log_sum_exp_of_extreme_logits_neither_overflows_nor_loses_the_highest():
    """Only differences count."""
    logits = np.array([3e38, -3e38, -np.inf, 3e38], dtype=np.float32)
    assert log_sum_exp(logits, float(logits.max())) == pytest.approx(float(np.float32(3e38)) + np.log(2))

"""What answers tell, computed from log-probabilities."""

import math

import pytest

from homeport import TokenLogprob
from homeport.server.decisions.probabilities import (
    best,
    choice_confidence,
    expected,
    read_labels,
    score_confidence,
    shares,
)


def test_shares_sum_to_one():
    """Also from values that are not normalised, tiny, or minus infinity."""
    for logprobs in ([-1, -2, -3], [-1e5, -1e5 - 1], [0.0, -math.inf], [1.5]):
        assert math.fsum(shares(logprobs)) == pytest.approx(1, abs=1e-12)


def test_confidence_in_a_choice():
    """0 at chance, 1 where one option has all."""
    assert choice_confidence([0.25] * 4) == 0
    assert choice_confidence([0, 1, 0]) == 1
    assert choice_confidence([0.6, 0.4]) == pytest.approx(0.2)
    assert choice_confidence([1.0]) == 1


def test_confidence_in_a_score():
    """1 where one level has all, less the further away others are, never below 0."""
    assert score_confidence([0, 1, 0]) == 1
    assert score_confidence([0.1, 0.8, 0.1]) == pytest.approx(1 - 0.2 / (2 / 3))
    assert score_confidence([0.8, 0.2, 0]) > score_confidence([0.8, 0, 0.2])
    assert score_confidence([0.5, 0, 0.5]) == 0
    assert score_confidence([1.0]) == 1


def test_expectation_and_the_best():
    """Levels count from 0; of equals the first is best."""
    assert expected([0.5, 0, 0.5]) == 1
    assert best([0.4, 0.4, 0.2]) == 0


@pytest.mark.parametrize(
    "logprobs",
    [
        (),
        (TokenLogprob("A", -1.0),),
        (TokenLogprob("A", -1.0, (("B", -1.0), ("A", -1.0))),),
        (TokenLogprob("A", -1.0, (("A", -math.inf), ("B", -math.inf))),),
        (TokenLogprob("A", -1.0, (("A", math.nan), ("B", -1.0))),),
        (TokenLogprob("A", -1.0, (("A", -1.0), ("B", math.nan))),),
        (TokenLogprob("A", 0.0, (("A", 0.0), ("B", -1.0))),) * 2,
    ],
    ids=str,
)
def test_other_reports_are_no_verdict(logprobs):
    """A backend that knows no labels reports something else, or nothing, or nonsense."""
    assert read_labels(("A", "B"), logprobs) is None

import json

import pytest

from homeport import LoadError
from homeport_routers.complexity_score import ComplexityScore
from homeport_routers.difficulty import Difficulty
from homeport_routers.features import NAMES, features

WEIGHTS = dict.fromkeys(NAMES, 1.0)


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("words", "some words"),
        ("sentences", "One. Two."),
        ("long-words", "internationalisation"),
        ("numbers", "3 and four"),
        ("relations", "twice as many"),
        ("proportions", "20% off"),
        ("times", "two hours"),
        ("conditions", "unless it rains"),
        ("negations", "don\u2019t go"),
        ("questions", "why?"),
        ("steps", "1. one\n2. two"),
        ("code", "f(x) == {}"),
        ("reasoning", "prove it"),
        ("plain", "hello"),
    ],
)
def test_each_feature_is_seen(feature, text):
    """Every feature has a text that raises it, and the empty text has none."""
    assert dict(zip(NAMES, features(text), strict=True))[feature] > 0
    assert set(features("")) == {0.0}


@pytest.mark.parametrize(
    "text", ["", "\x00", "\ud800", "?" * 5000, "a" * 100_000, "1 " * 3000, "\u6f22" * 2000]
)
def test_scores_are_shares(text):
    """Whatever the text, the score is from 0 to 1 and so is each feature."""
    score, _ = ComplexityScore().score(text, "complex-reasoning")
    assert 0 <= score <= 1
    assert all(0 <= value <= 1 for value in features(text))


def test_more_steps_are_harder():
    """Adding steps and conditions to a problem raises its score."""
    easy = "Ida has 3 apples and gets 4. How many has she?"
    hard = (
        "Ida has 3 boxes of 40 apples each. She sells half of them for $2 per apple, unless it rains, then "
        "gives 20% of the remaining to Omar, who has twice as many. If she earns $5 an hour for 3 days, how "
        "much more money does she have than Omar after a week?"
    )
    difficulty = Difficulty.shipped()
    assert difficulty.score(easy) < 0.35 < difficulty.score(hard)


def test_the_strongest_features_are_told():
    """An explanation names features that raise the score, the strongest first."""
    score, told = Difficulty.shipped().explain("Prove, derive and justify the optimal strategy.")
    assert told[0] == "reasoning"
    assert score == Difficulty.shipped().score("Prove, derive and justify the optimal strategy.")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"bias": 0, "weights": {}}),
        json.dumps({"bias": "0", "weights": WEIGHTS}),
        json.dumps({"bias": True, "weights": WEIGHTS}),
        json.dumps({"bias": 0, "weights": WEIGHTS | {"words": float("nan")}}),
    ],
)
def test_damaged_weights_are_refused(content):
    """A file that is not what it should be says so."""
    with pytest.raises(LoadError, match="damaged"):
        Difficulty.parse(content)

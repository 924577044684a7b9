import json

import pytest


@pytest.fixture
def pairs(benchmarks, tmp_path):
    """Questions of which the weak model fails those that are long, and the strong one every tenth."""
    records = [
        {
            "question": "word " * (place % 50 + 1),
            "weak": {"correct": place % 50 < 25, "correct_final": place % 50 < 25},
            "strong": {"correct": place % 10 > 0, "correct_final": place % 10 > 0},
        }
        for place in range(400)
    ]
    path = tmp_path / "gsm8k_responses.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    module = benchmarks("routing_pairs")
    assert module.Pairs.are_in(tmp_path)
    return module.Pairs.read(tmp_path)


def test_a_score_that_knows_beats_the_mix_and_its_opposite_does_not(pairs):
    """The area is above one half for a score that finds the failures, and below for its negative."""
    marked = pairs.marked("correct")
    scores = [float(len(question)) for question in pairs.questions]
    good, bad = marked.apgr(scores, 50), marked.apgr([-score for score in scores], 50)
    assert good["low"] > 0.5 > bad["high"]
    assert good["low"] <= good["apgr"] <= good["high"]


def test_the_curve_begins_at_the_weak_model_and_ends_at_the_strong_one(pairs):
    """Shares of 0 and 1 are the models themselves, whatever the score."""
    marked = pairs.marked("correct_final")
    scores = [0.0] * len(pairs.questions)
    assert marked.point(scores, 0.0)["quality"] == pytest.approx(marked.weak.mean())
    assert marked.point(scores, 1.0)["quality"] == pytest.approx(marked.strong.mean())
    assert marked.point(scores, 0.5)["random_mix"] == pytest.approx((0.5 + 0.9) / 2)


def test_shipped_scores_are_those_of_the_router(benchmarks):
    """What is measured is what a request is given."""
    easy, hard = benchmarks("routing_pairs").shipped_scores(
        ["Hello!", "Prove and justify: why? Derive it step by step."]
    )
    assert 0 <= easy < hard <= 1

import numpy as np


def test_rivals_take_turns(benchmarks):
    """Each round begins with another rival, after one unrecorded call of each."""
    called = []

    def rival(name):
        return lambda: called.append(name) or float(len(called))

    taken = benchmarks("figures").interleaved({"a": rival("a"), "b": rival("b")}, rounds=2)
    assert called == ["a", "b", "a", "b", "b", "a"]
    assert taken == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_a_percentile_is_a_value_that_was_measured(benchmarks):
    """Percentiles are not interpolated."""
    percentile = benchmarks("figures").percentile
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 50) == 51.0
    assert percentile(values, 99) == 100.0
    assert percentile([7.0], 99) == 7.0


def test_a_divergence_is_zero_only_for_equal_logits(benchmarks):
    """Equal logits agree whatever is added to all of them; others do not."""
    quality = benchmarks("quality")
    logits = np.random.default_rng(0).standard_normal((1, 5, 40)).astype(np.float32)
    same, other = (quality._compare(logits, [logits[0] + 3]), quality._compare(logits, [logits[0] * 2]))
    assert same["top1_agreement"] == other["top1_agreement"] == 1.0
    assert abs(same["mean_kl"]) < 1e-6
    assert other["mean_kl"] > 0.1

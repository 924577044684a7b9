import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from homeport.weights import quantise_q4, quantise_q8

QUANTISERS = [quantise_q4, quantise_q8]
LOWEST = {quantise_q4: -8, quantise_q8: -128}
SMALLEST_SCALE = 2.0**-24
"""The smallest number that float16 has."""


def weights(rows=64, cols=128, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def plainly(values, lowest, group=32):
    """Quantise by the value of largest magnitude alone, as Q4_0 of llama.cpp does."""
    groups = values.reshape(-1, group)
    extremes = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)
    scales = (extremes / lowest).astype(np.float16).astype(np.float32)
    codes = np.clip(np.rint(groups / np.where(scales == 0, 1, scales)), lowest, -lowest - 1)
    return (codes * scales).reshape(values.shape)


def error(values, others, group=32):
    """What each group loses: squared errors, which count by the root of the weight's and the mean square."""
    squares = np.square(values.astype(float)).reshape(-1, group)
    counts = np.sqrt(squares + squares.mean(axis=1, keepdims=True))
    return (counts * np.square(values.astype(float) - others).reshape(-1, group)).sum(axis=1)


@pytest.mark.parametrize("quantise", QUANTISERS)
@pytest.mark.parametrize("group", [32, 64])
def test_search_loses_less_than_the_plain_scale(quantise, group):
    """The error is smaller in all, and in no group larger, than with the scale of the largest value."""
    values = weights()
    searched = error(values, quantise(values, group=group).dequantise(), group)
    plain = error(values, plainly(values, LOWEST[quantise], group), group)
    assert np.all(searched <= plain * (1 + 1e-5))
    assert searched.sum() < 0.95 * plain.sum()
    assert (
        np.square(quantise(values, group=group).dequantise() - values).sum()
        < 0.95 * np.square(plainly(values, LOWEST[quantise], group) - values).sum()
    )


@given(
    values=arrays(
        np.float32,
        st.tuples(st.integers(1, 33), st.sampled_from([32, 96, 160])),
        elements=st.floats(-5e5, 5e5, width=32),
        fill=st.just(0),
    ),
    quantise=st.sampled_from(QUANTISERS),
)
@settings(max_examples=200)
def test_no_weight_moves_further_than_the_plain_scale_allows(values, quantise):
    """Whatever is stored, zeros, tiny and huge values side by side: no group does worse than plainly."""
    matrix = quantise(values)
    searched = error(values, matrix.dequantise())
    plain = error(values, plainly(values, LOWEST[quantise]))
    tiny = 64 * np.abs(values).reshape(-1, 32).max(axis=1) * SMALLEST_SCALE**2
    assert np.all(searched <= plain * (1 + 1e-4) + tiny)
    assert np.isfinite(matrix.scales).all()


@pytest.mark.parametrize("quantise", QUANTISERS)
def test_numbers_on_the_grid_come_back_exactly(quantise):
    """What can be stored without loss is: whole multiples of a scale."""
    low = LOWEST[quantise]
    steps = np.random.default_rng(3).integers(low, -low, (48, 64))
    steps[:, ::32] = low
    values = (steps * np.float32(0.125)).astype(np.float32)
    assert np.array_equal(quantise(values).dequantise(), values)


@pytest.mark.parametrize("quantise", QUANTISERS)
def test_zeros_stay_zeros(quantise):
    """A group of zeros has scale 0, and so have the rows that fill up the last strip."""
    values = weights(rows=18)
    values[:, :32] = 0
    matrix = quantise(values)
    assert not matrix.dequantise()[:, :32].any()
    assert not matrix.scales[:, 0].any()
    assert not matrix.scales[1, :, 2:].any()


@pytest.mark.parametrize("quantise", QUANTISERS)
@pytest.mark.parametrize("size", [1e-45, 1e-39, 1e-20, 1e-6, 1e5])
def test_tiny_and_large_values_lose_no_more_than_the_scale_does(quantise, size):
    """Neither denormal weights nor those near the end of float16 overflow or turn into NaN."""
    values = weights() * np.float32(size)
    found = quantise(values).dequantise()
    codes = -LOWEST[quantise]
    step = np.abs(values).max() / codes
    assert np.abs(found - values).max() <= 1.01 * step + codes * SMALLEST_SCALE / 2


@pytest.mark.parametrize("quantise", QUANTISERS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_by_name(quantise, wrong):
    """The error names the tensor and the value."""
    values = weights()
    values[40, 7] = wrong
    with pytest.raises(ValueError, match=rf"'layer\.weight' .*{wrong}"):
        quantise(values, name="layer.weight", threads=2)


@pytest.mark.parametrize(("quantise", "largest"), [(quantise_q4, "5.24e\\+05"), (quantise_q8, "8.385e\\+06")])
def test_weights_beyond_float16_scales_are_refused(quantise, largest):
    """A scale never overflows in silence."""
    values = weights()
    values[3, 3] = 1e9
    with pytest.raises(ValueError, match=f"1e\\+09.*{largest}"):
        quantise(values)


@pytest.mark.parametrize("quantise", QUANTISERS)
def test_threads_do_not_change_the_result(quantise):
    """Each group is quantised for itself."""
    values = weights(rows=700, cols=512)
    one, two = quantise(values), quantise(values, threads=2)
    assert np.array_equal(one.codes, two.codes)
    assert np.array_equal(one.scales, two.scales)


def test_important_columns_lose_less():
    """The error counts as much as it is told to."""
    values = weights()
    importance = np.ones(128, np.float32)
    importance[::4] = 100
    moved = (np.square(quantise_q4(values, importance=importance).dequantise() - values)).mean(axis=0)
    alike = (np.square(quantise_q4(values).dequantise() - values)).mean(axis=0)
    assert moved[::4].sum() < 0.8 * alike[::4].sum()
    assert moved.sum() > alike.sum()


def test_rows_are_asked_for_a_few_at_a_time():
    """A matrix larger than memory can be read block by block."""
    whole = weights(rows=2048, cols=64)

    class Reader:
        shape = whole.shape
        asked = ()

        def __getitem__(self, rows):
            self.asked += (rows.stop - rows.start,)
            return whole[rows].astype(np.float16)

    reader = Reader()
    found = quantise_q4(reader)
    assert max(reader.asked) * 64 <= 64 * 1024
    assert np.array_equal(found.codes, quantise_q4(whole.astype(np.float16)).codes)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 48), {}, "groups of 32"),
        ((4, 64), {"group": 16}, "32 or 64"),
        ((4, 96), {"group": 64}, "groups of 64"),
        ((4, 64), {"importance": np.ones(32, np.float32)}, "importance"),
        ((4, 64), {"importance": -np.ones(64, np.float32)}, "negative"),
    ],
)
def test_impossible_wishes_are_refused(shape, options, message):
    """Shapes and options that do not fit are named."""
    with pytest.raises(ValueError, match=message):
        quantise_q4(np.zeros(shape, np.float32), **options)

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.weights import PackedMatrix, PlainCodes, WeightKind


def plain_codes(kind, rows, cols, group=32, seed=0):
    random = np.random.default_rng(seed)
    groups = (rows, cols // group)
    return PlainCodes(
        codes=random.integers(0, 1 << kind.bits, (rows, cols), dtype=np.uint8),
        scales=random.standard_normal(groups).astype(np.float16),
        mins=random.standard_normal(groups).astype(np.float16) if kind.has_mins else None,
    )


def by_the_formula(kind, plain):
    """What codes stand for, in float64, weight by weight."""
    group = plain.codes.shape[1] // plain.scales.shape[1]
    scales, codes = plain.scales.astype(float).repeat(group, axis=1), plain.codes.astype(float)
    if kind is WeightKind.Q4_MIN:
        return codes * scales + plain.mins.astype(float).repeat(group, axis=1)
    return (codes - {WeightKind.Q8: 128, WeightKind.Q4: 8}[kind]) * scales


@given(
    kind=st.sampled_from(list(WeightKind)),
    rows=st.integers(1, 40),
    groups=st.integers(1, 5),
    group=st.sampled_from([32, 64]),
)
def test_numbers_are_what_the_codes_stand_for(kind, rows, groups, group):
    """The formulas of the format hold to the last bit of float32."""
    plain = plain_codes(kind, rows, groups * group, group)
    matrix = PackedMatrix.pack(kind, plain)
    assert (matrix.rows, matrix.cols, matrix.group) == (rows, groups * group, group)
    assert np.array_equal(matrix.dequantise(), by_the_formula(kind, plain).astype(np.float32))


@given(begin=st.integers(0, 49), count=st.integers(1, 50))
def test_any_run_of_rows_can_be_had_alone(begin, count):
    """Rows cut out of the middle of strips are those of the whole."""
    matrix = PackedMatrix.pack(WeightKind.Q4_MIN, plain_codes(WeightKind.Q4_MIN, 50, 64))
    end = min(begin + count, 50)
    assert np.array_equal(matrix.dequantise(begin, end), matrix.dequantise()[begin:end])


def test_size_counts_all_arrays():
    """4 bits a weight, a scale and a minimum of 16 bits per 32 weights."""
    matrix = PackedMatrix.pack(WeightKind.Q4_MIN, plain_codes(WeightKind.Q4_MIN, 32, 64))
    assert matrix.size_bytes == 32 * 64 * (4 + 1) // 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 33}, "33 rows"),
        ({"kind": WeightKind.Q4_MIN}, "lacks mins"),
        ({"scales": np.zeros((2, 3, 16), np.float16)}, "scales"),
        ({"scales": np.zeros((2, 2), np.float16)}, "scales"),
        ({"scales": np.zeros((2, 2, 16), np.float32)}, "float32"),
        ({"mins": np.zeros((2, 2, 16), np.float16)}, "has mins"),
    ],
)
def test_contradictions_are_refused(changes, message):
    """A matrix whose arrays do not fit each other is never built."""
    matrix = PackedMatrix.pack(WeightKind.Q4, plain_codes(WeightKind.Q4, 32, 64))
    with pytest.raises(ValueError, match=message):
        attrs.evolve(matrix, **changes)


def test_columns_that_fill_no_line_are_refused():
    """4-bit codes come in eights."""
    plain = plain_codes(WeightKind.Q4, 16, 64)
    with pytest.raises(ValueError, match="8s"):
        PackedMatrix.pack(WeightKind.Q4, plain._replace(codes=plain.codes[:, :60]))

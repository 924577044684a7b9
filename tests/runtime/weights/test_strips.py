import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.weights import WeightKind
from homeport.weights.strips import pack_codes, pack_groups, unpack_codes, unpack_groups

KINDS = list(WeightKind)
SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 6))
"""Rows, and columns in blocks of 32."""


def random_codes(kind, rows, cols, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << kind.bits, (rows, cols), dtype=np.uint8)


@given(shape=SHAPES, kind=st.sampled_from(KINDS))
def test_codes_come_back_from_strips_as_they_were(shape, kind):
    """Packing moves codes and loses none, whatever the shape; rows past the end are 0."""
    codes = random_codes(kind, shape[0], 32 * shape[1])
    back = unpack_codes(kind, pack_codes(kind, codes))
    assert np.array_equal(back[: len(codes)], codes)
    assert len(back) % 16 == 0
    assert not back[len(codes) :].any()


@given(shape=SHAPES)
def test_scales_come_back_from_strips_as_they_were(shape):
    """The same for what each group has one of."""
    scales = np.random.default_rng(1).standard_normal(shape).astype(np.float16)
    back = unpack_groups(pack_groups(scales))
    assert np.array_equal(back[: len(scales)], scales)
    assert not back[len(scales) :].any()


def test_bytes_of_8_bit_codes_lie_where_the_kernels_look():
    """Byte (s, q, r, i) is row 16 s + r, column 4 q + i."""
    codes = random_codes(WeightKind.Q8, 33, 64)
    packed = pack_codes(WeightKind.Q8, codes)
    assert packed.shape == (3, 16, 16, 4)
    for strip, block, row, lane in [(0, 0, 0, 0), (0, 3, 15, 2), (1, 15, 7, 3), (2, 9, 0, 1)]:
        assert packed[strip, block, row, lane] == codes[16 * strip + row, 4 * block + lane]


def test_nibbles_of_4_bit_codes_lie_where_the_kernels_look():
    """Byte (s, q, r, i) holds column 8 q + i in its low and column 8 q + 4 + i in its high nibble."""
    codes = random_codes(WeightKind.Q4, 33, 64)
    packed = pack_codes(WeightKind.Q4, codes)
    assert packed.shape == (3, 8, 16, 4)
    for strip, block, row, lane in [(0, 0, 0, 0), (0, 3, 15, 2), (1, 7, 7, 3), (2, 5, 0, 1)]:
        low, high = (codes[16 * strip + row, 8 * block + part + lane] for part in (0, 4))
        assert packed[strip, block, row, lane] == low | high << 4


@pytest.mark.parametrize("kind", KINDS)
def test_packed_codes_are_contiguous(kind):
    """They are written to files and mapped from there as they are."""
    assert pack_codes(kind, random_codes(kind, 32, 64)).flags.c_contiguous

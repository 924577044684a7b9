import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st

from homeport.models.conversion.gguf_blocks import REPACKINGS, blocks_of
from homeport.weights import PackedMatrix

EXACT = [kind for kind in REPACKINGS if kind.name != "Q4_K"]
FLOATS_OF_A_BLOCK = {"Q4_1": 2, "Q4_K": 2}
"""How many float16 begin a block; one where not given."""


def random_rows(kind, rows, blocks, seed=0):
    """Blocks of random bits behind random finite scales, denormal ones and zeros among them."""
    random = np.random.default_rng(seed)
    raw = random.integers(0, 256, (rows, blocks, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    floats = FLOATS_OF_A_BLOCK.get(kind.name, 1)
    scales = (random.standard_normal((rows, blocks, floats)) * 10.0 ** random.integers(-8, 2)).astype(
        np.float16
    )
    scales[0, 0] = 0
    raw[..., : 2 * floats] = scales.view(np.uint8)
    return raw.reshape(rows, -1)


def repacked(kind, raw):
    repacking = REPACKINGS[kind]
    return PackedMatrix.pack(repacking.kind, repacking.decode(blocks_of(raw, kind)))


@given(
    rows=st.integers(1, 20), blocks=st.integers(1, 4), kind=st.sampled_from(EXACT), seed=st.integers(0, 99)
)
def test_repacked_blocks_stand_for_the_same_numbers(rows, blocks, kind, seed):
    """Bit by bit what gguf's own code makes of them."""
    raw = random_rows(kind, rows, blocks, seed)
    assert np.array_equal(repacked(kind, raw).dequantise(), dequantize(raw, kind))


def test_k_blocks_are_nearly_the_same():
    """Products of 6 bits and a float16 are rounded to float16: at most 1 % of the step of a group."""
    raw = random_rows(GGMLQuantizationType.Q4_K, 64, 4, seed=3)
    matrix, expected = repacked(GGMLQuantizationType.Q4_K, raw), dequantize(raw, GGMLQuantizationType.Q4_K)
    found = matrix.dequantise()
    scales, mins = (np.abs(part).astype(np.float32) for part in matrix.unpack()[1:])
    allowed = (15 * scales + mins).repeat(32, axis=1) * 2.0**-11 + 16 * 2.0**-25
    assert np.all(np.abs(found - expected) <= allowed)
    assert np.sqrt(np.mean(np.square(found - expected))) < 3e-4 * expected.std()


def test_rows_keep_their_place():
    """Rotary rows can be put in order before they are repacked: a row is a run of whole blocks."""
    raw = random_rows(GGMLQuantizationType.Q4_1, 32, 3)
    order = np.random.default_rng(0).permutation(32)
    assert np.array_equal(
        repacked(GGMLQuantizationType.Q4_1, raw[order]).dequantise(),
        repacked(GGMLQuantizationType.Q4_1, raw).dequantise()[order],
    )


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q6_K, GGMLQuantizationType.Q5_1])
def test_other_formats_are_left_to_the_quantiser(kind):
    """No packed form holds their bits."""
    assert kind not in REPACKINGS

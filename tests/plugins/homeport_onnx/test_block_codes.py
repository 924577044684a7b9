"""Matrices in the operators' form hold what the store holds."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from homeport import PullError
from homeport.checkpoint import Checkpoint, Part
from homeport.weights import PackedMatrix, PlainCodes, WeightKind, stored_parts, write_metadata
from homeport_onnx.block_codes import BlockForm, block_codes, pack, stored_arrays
from homeport_onnx.stored_weights import StoredWeights

ROWS, COLS = 40, 128
WEIGHT = "weight"
PART = Part(name=WEIGHT, shape=(ROWS, COLS), first_row=0, rows=ROWS)
Q4, Q4_MIN, Q8 = WeightKind.Q4, WeightKind.Q4_MIN, WeightKind.Q8


@pytest.fixture
def store(tmp_path):
    """Write tensors to a folder and read them as the builder does."""

    def write(tensors, rows=None):
        metadata = {"format": "pt", **(write_metadata(rows) if rows else {})}
        save_file(
            {name: np.ascontiguousarray(part) for name, part in tensors.items()},
            tmp_path / "model.safetensors",
            metadata=metadata,
        )
        (tmp_path / "config.json").write_text(json.dumps({}), encoding="utf-8")
        return StoredWeights(Checkpoint.read(tmp_path))

    return write


def draw(kind, group=32, seed=3):
    random = np.random.default_rng(seed)
    shape = (ROWS, COLS // group)
    scales = random.uniform(0.01, 0.1, shape).astype(np.float16)
    mins = (scales * random.uniform(-20, 4, shape)).astype(np.float16) if kind.has_mins else None
    codes = random.integers(0, 1 << kind.bits, (ROWS, COLS)).astype(np.uint8)
    return PackedMatrix.pack(kind, PlainCodes(codes=codes, scales=scales, mins=mins))


def weights_of(found, form):
    """What codes, scales and offsets stand for."""
    blocks = found.codes.reshape(*found.scales.shape, form.block).astype(np.float32)
    values = (blocks - form.middle) * found.scales[..., None] + found.offsets[..., None]
    return values.reshape(found.codes.shape)


def packed(store, matrix):
    return store(stored_parts(WEIGHT, matrix), {WEIGHT: ROWS})


@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize(("kind", "bits"), [(Q4, 4), (Q8, 8), (Q4, 8), (Q4_MIN, 4), (Q4_MIN, 8)])
def test_codes_of_the_store_keep_their_bits(store, kind, bits, group):
    """A matrix is the same one, and 4 bits fit into 8."""
    matrix = draw(kind, group)
    form = BlockForm(bits=bits, block=group, has_offsets=kind.has_mins)

    found = block_codes(packed(store, matrix), PART, form, (0, ROWS))

    np.testing.assert_allclose(weights_of(found, form), matrix.dequantise(), rtol=1e-6, atol=1e-6)
    if kind.bits == bits:
        assert np.array_equal(found.codes, matrix.unpack().codes)
    assert found.offsets.any() == kind.has_mins


@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize(("bits", "most"), [(4, 0.12), (8, 0.008)])
def test_numbers_are_quantised_with_few_losses(store, block, bits, most):
    """Whatever type they are stored in."""
    values = np.random.default_rng(1).standard_normal((ROWS, COLS)).astype(np.float16)
    weights = store({WEIGHT: values})

    form = BlockForm(bits=bits, block=block)
    found = weights_of(block_codes(weights, PART, form, (0, ROWS)), form)

    wide = values.astype(np.float32)
    assert np.linalg.norm(found - wide) < most * np.linalg.norm(wide)


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (Q8, BlockForm(bits=4, block=32)),
        (Q4, BlockForm(bits=4, block=128)),
    ],
)
def test_what_does_not_fit_is_quantised_anew(store, kind, form):
    """Fewer bits, or other blocks, than the stored ones."""
    matrix = draw(kind)
    expected = matrix.dequantise()

    found = weights_of(block_codes(packed(store, matrix), PART, form, (0, ROWS)), form)

    assert np.linalg.norm(found - expected) < 0.15 * np.linalg.norm(expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("unit", [1, 8])
def test_parts_below_one_another_become_one_matrix(store, threads, unit, monkeypatch):
    """Rows come in order, however many work on them at a time."""
    monkeypatch.setattr("homeport_onnx.block_codes._WEIGHTS_AT_ONCE", 3 * COLS)
    matrix = draw(Q4_MIN)
    weights = packed(store, matrix)
    parts = [Part(name=WEIGHT, shape=PART.shape, first_row=first, rows=8) for first in (24, 0)]
    form = BlockForm(bits=4, block=32, has_offsets=True)

    arrays = list(stored_arrays(weights, parts, form, unit=unit, threads=threads))

    codes, scales, offsets = (np.concatenate(column) for column in zip(*arrays, strict=True))
    expected = block_codes(weights, PART, form, (0, ROWS))
    rows = [*range(24, 32), *range(8)]
    assert np.array_equal(codes, pack(expected.codes[rows], 4))
    assert np.array_equal(scales, expected.scales[rows])
    assert np.array_equal(offsets, expected.offsets[rows])


def test_the_first_of_two_codes_lies_in_the_lower_half():
    assert pack(np.array([[1, 2, 3]], np.uint8), 4).tolist() == [[0x21, 0x03]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused_by_name(store, bad):
    values = np.zeros((ROWS, COLS), np.float32)
    values[3, 5] = bad
    with pytest.raises(PullError, match=f"'weight' holds {bad}"):
        block_codes(store({WEIGHT: values}), PART, BlockForm(bits=8, block=32), (0, ROWS))


@pytest.mark.parametrize("block", [32, 64])
@pytest.mark.parametrize("figures", ["scales", "mins"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scales_and_minima_that_are_no_numbers_are_refused(store, figures, bad, block):
    """Whether the codes are kept or made anew."""
    matrix = draw(Q4_MIN)
    getattr(matrix, figures)[0, 0, 0] = bad
    form = BlockForm(bits=4, block=block, has_offsets=block == matrix.group)
    with np.errstate(invalid="ignore"), pytest.raises(PullError, match=r"'weight' holds -?(nan|inf)"):
        block_codes(packed(store, matrix), PART, form, (0, ROWS))


def test_numbers_beyond_a_scale_are_refused(store):
    values = np.full((ROWS, COLS), 1e30, np.float32)
    with pytest.raises(PullError, match="'weight' cannot be packed: it holds"):
        block_codes(store({WEIGHT: values}), PART, BlockForm(bits=4, block=32), (0, ROWS))

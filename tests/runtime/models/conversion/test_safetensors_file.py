import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from homeport.domain.errors import PullError
from homeport.models.conversion.safetensors_file import (
    PlannedWeight,
    TensorPlan,
    read_safetensors_head,
    write_safetensors,
)

DTYPES = {"float32": "F32", "float16": "F16", "uint8": "U8", "uint16": "BF16"}


def planned(**values):
    """Weights of one tensor each."""
    return [
        PlannedWeight((TensorPlan(name, DTYPES[value.dtype.name], value.shape),), lambda value=value: [value])
        for name, value in values.items()
    ]


def test_the_library_reads_what_is_written(tmp_path):
    """Values, shapes and number formats come back through the reference reader."""
    values = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(4, dtype=np.float16),
        "c": np.arange(6, dtype=np.float32).reshape(3, 2).T,
    }
    told = []
    path = tmp_path / "model.safetensors"
    write_safetensors(
        path, planned(**values), {"made": "here"}, lambda done, total: told.append((done, total))
    )
    for name, value in load_file(path).items():
        np.testing.assert_array_equal(value, values[name])
    assert told == [(24, 56), (32, 56), (56, 56)]
    head = read_safetensors_head(path)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in head.tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F16", (4,)),
        "c": ("F32", (2, 3)),
    }
    assert head.metadata == {"format": "pt", "made": "here"}


def test_keeps_the_bits_of_bfloat16(tmp_path):
    """numpy has no bfloat16; its bits are written under the right name."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, planned(a=np.array([0x3F80, 0xC000], np.uint16)), {}, lambda *_: None)
    with safe_open(path, "pt") as file:
        assert file.get_tensor("a").tolist() == [1.0, -2.0]


def test_a_weight_may_become_several_tensors(tmp_path):
    """Codes and scales of a packed weight are written together, wherever in the file they come to lie."""
    path = tmp_path / "model.safetensors"
    parts = {"w.q8": np.arange(64, dtype=np.uint8), "w.scales": np.ones(3, np.float16)}
    plans = tuple(TensorPlan(name, DTYPES[part.dtype.name], part.shape) for name, part in parts.items())
    write_safetensors(path, [PlannedWeight(plans, lambda: list(parts.values()))], {}, lambda *_: None)
    assert {name: tensor.tolist() for name, tensor in load_file(path).items()} == {
        name: part.tolist() for name, part in parts.items()
    }


@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_every_tensor_lies_as_evenly_as_its_size_allows(tmp_path_factory, sizes):
    """Data begins at a cache line, and so does every tensor whose size is a multiple of one."""
    path = tmp_path_factory.mktemp("even") / "model.safetensors"
    values = {f"t{place}": np.full(size, place, np.uint8) for place, size in enumerate(sizes)}
    write_safetensors(path, planned(**values), {}, lambda *_: None)
    for name, tensor in read_safetensors_head(path).tensors.items():
        assert tensor.offset % math.gcd(values[name].nbytes, 64) == 0
    assert all(np.array_equal(value, values[name]) for name, value in load_file(path).items())


def test_reads_the_head_of_a_file_that_the_library_wrote(tmp_path):
    """Number formats, shapes and places are those of the file."""
    path = tmp_path / "model.safetensors"
    save_file({"a": np.ones((3, 5), np.float32), "b": np.zeros(7, np.int64)}, path)
    tensors = read_safetensors_head(path).tensors
    assert {name: (tensor.dtype, tensor.size) for name, tensor in tensors.items()} == {
        "a": ("F32", 60),
        "b": ("I64", 56),
    }
    assert np.fromfile(path, np.float32, 15, offset=tensors["a"].offset).tolist() == [1.0] * 15


def with_head(entries, data=b""):
    """A file with a head of our own making."""
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape, begin, end, dtype="F32"):
    """The description of a tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (2**40).to_bytes(8, "little") + b"{}",
        with_head({"a": entry([2], 0, 8)}, bytes(7)),
        with_head({"a": entry([2], 0, 8)}, bytes(9)),
        with_head({"a": entry([2**40, 2**40], 0, 8)}, bytes(8)),
        with_head({"a": entry([-1, -2], 0, 8)}, bytes(8)),
        with_head({"a": entry([1, -2], 0, -8)}),
        with_head({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        with_head({"a": entry([2], 0, 8, "PICKLE")}, bytes(8)),
        with_head({"a": {"dtype": "F32"}}),
        with_head({"a": 3}),
        with_head([]),
        (4).to_bytes(8, "little") + b"{nop",
    ],
)
def test_refuses_what_does_not_add_up(tmp_path, data):
    """Cut, padded, overlapping and impossible files are refused without reading their data."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(PullError, match=r"model\.safetensors is not a usable"):
        read_safetensors_head(path)

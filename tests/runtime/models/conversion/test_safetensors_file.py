import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from homeport.domain.errors import PullError
from homeport.models.conversion.safetensors_file import TensorPlan, read_safetensors_head, write_safetensors


def test_the_library_reads_what_is_written(tmp_path):
    """Values, shapes and number formats come back through the reference reader."""
    values = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(4, dtype=np.float16),
        "c": np.arange(6, dtype=np.float32).reshape(3, 2).T,
    }
    plans = [
        TensorPlan(name, {"f": {4: "F32", 2: "F16"}}["f"][value.itemsize], value.shape)
        for name, value in values.items()
    ]
    told = []
    path = tmp_path / "model.safetensors"
    write_safetensors(
        path, plans, lambda plan: values[plan.name], lambda done, total: told.append((done, total))
    )
    for name, value in load_file(path).items():
        np.testing.assert_array_equal(value, values[name])
    assert told == [(24, 56), (32, 56), (56, 56)]
    assert read_safetensors_head(path) == {"F32": 12, "F16": 4}


def test_keeps_the_bits_of_bfloat16(tmp_path):
    """numpy has no bfloat16; its bits are written under the right name."""
    path = tmp_path / "model.safetensors"
    bits = np.array([0x3F80, 0xC000], np.uint16)
    write_safetensors(path, [TensorPlan("a", "BF16", (2,))], lambda _: bits, lambda *_: None)
    with safe_open(path, "pt") as file:
        assert file.get_tensor("a").tolist() == [1.0, -2.0]


def test_counts_the_weights_of_a_file(tmp_path):
    """The head of a file that the library wrote tells its weights per number format."""
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.int64)}, path)
    assert read_safetensors_head(path) == {"F32": 15, "I64": 7}


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

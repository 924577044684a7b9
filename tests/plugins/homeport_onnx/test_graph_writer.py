"""Graphs go to disk with weights that never are in memory together."""

import os
import tracemalloc

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from homeport import PullError
from homeport_onnx.graph_writer import GraphWriter, TensorSpec

ROOM = 2**40
FLOAT = TensorProto.FLOAT


def ignore(_done, _all):
    """Take no notice of progress."""


def writer_of(array, pieces=4):
    """A graph that adds a stored array to its input."""
    writer = GraphWriter("sum")
    spec = TensorSpec(name="stored", dtype=array.dtype, shape=array.shape)
    writer.weights([spec], lambda: ((part,) for part in np.array_split(array, pieces)))
    writer.take("given", FLOAT, array.shape)
    writer.node("Add", ["given", "stored"], outputs=["sum"])
    writer.give("sum", FLOAT, array.shape)
    return writer


def test_what_was_written_runs(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(6, 2)

    writer_of(array).write(tmp_path, room_bytes=ROOM, progress=ignore)

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert np.array_equal(session.run(None, {"given": array})[0], 2 * array)


def test_equal_weights_give_equal_files(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        writer_of(np.ones((4, 4), np.float32)).write(tmp_path / name, room_bytes=ROOM, progress=ignore)

    for file in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_large_tensors_begin_at_pages_and_all_at_cache_lines(tmp_path):
    writer = GraphWriter("several")
    for name, count in (("a", 3), ("b", 100_000), ("c", 5), ("d", 5)):
        spec = TensorSpec(name=name, dtype=np.float32, shape=(count,))
        writer.weights([spec], lambda count=count: [(np.ones(count),)])
    writer.write(tmp_path, room_bytes=ROOM, progress=ignore)

    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    places = {
        tensor.name: int(entry.value)
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    }
    assert places["b"] % 4096 == 0
    assert all(offset % 64 == 0 for offset in places.values())


def test_an_alias_is_another_view_of_the_same_bytes(tmp_path):
    writer = writer_of(np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.alias("flat", "stored", (6,))
    writer.write(tmp_path, room_bytes=ROOM, progress=ignore)

    stored, flat = (
        onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "model.onnx").graph.initializer
    )
    assert np.array_equal(stored.ravel(), flat)


def test_progress_ends_with_all_bytes(tmp_path):
    seen = []
    writer_of(np.ones((8, 4), np.float32)).write(
        tmp_path, room_bytes=ROOM, progress=lambda done, of: seen.append((done, of))
    )

    assert seen[0] == (32, 128)
    assert seen[-1] == (128, 128)


def test_nothing_is_written_where_it_does_not_fit(tmp_path):
    with pytest.raises(PullError, match=r"takes 0\.02 GB in ONNX form, 0\.01 GB are free where it goes"):
        writer_of(np.ones((8, 4), np.float32)).write(tmp_path, room_bytes=10_000_000, progress=ignore)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        writer_of(np.ones((8, 4), np.float32)).write(tmp_path / "gone", room_bytes=ROOM, progress=ignore)


def test_a_file_that_another_folder_shares_is_replaced(tmp_path):
    """Builds are hard links of one another: writing into one would damage the other."""
    (tmp_path / "model.onnx.data").write_bytes(b"mine")
    os.link(tmp_path / "model.onnx.data", tmp_path / "other")

    writer_of(np.ones((8, 4), np.float32)).write(tmp_path, room_bytes=ROOM, progress=ignore)

    assert (tmp_path / "other").read_bytes() == b"mine"


@pytest.mark.parametrize("count", [7, 9])
def test_weights_of_another_size_than_declared_are_a_fault(tmp_path, count):
    writer = GraphWriter("odd")
    spec = TensorSpec(name="odd", dtype=np.float32, shape=(8,))
    writer.weights([spec], lambda: [(np.ones(count, np.float32),)])
    with pytest.raises(RuntimeError, match=f"'odd' are {4 * count} bytes, expected 32"):
        writer.write(tmp_path, room_bytes=ROOM, progress=ignore)


def test_weights_are_in_memory_one_block_at_a_time(tmp_path):
    blocks, rows = 64, 256
    writer = GraphWriter("large")
    spec = TensorSpec(name="large", dtype=np.float32, shape=(blocks * rows, 1024))
    writer.weights([spec], lambda: ((np.ones((rows, 1024), np.float32),) for _ in range(blocks)))

    tracemalloc.start()
    writer.write(tmp_path, room_bytes=ROOM, progress=ignore)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (tmp_path / "model.onnx.data").stat().st_size == 64 * 2**20
    assert peak < 6 * 2**20

import numpy as np
import onnxruntime
from onnx import TensorProto

from homeport_onnx.finer_inputs import ROUNDING, FinerInputs
from homeport_onnx.graph_writer import MICROSOFT, GraphWriter
from homeport_onnx.input_blocks import InputBlocks

COLUMNS, ROWS, BLOCK = 128, 24, 32


def product_of(tmp_path, *, is_finer):
    """A session of one product with weights of 8 bits, and these weights."""
    chance = np.random.default_rng(3)
    codes = chance.integers(0, 256, (ROWS, COLUMNS // BLOCK, BLOCK)).astype(np.uint8)
    writer = GraphWriter("product")
    states = writer.take("states", TensorProto.FLOAT, ["tokens", COLUMNS])
    constants = {"codes": codes, "scales": np.ones((ROWS, COLUMNS // BLOCK), np.float32)}
    names = [writer.constant(name, value) for name, value in constants.items()]
    finer = FinerInputs(writer, InputBlocks(writer))
    parted = finer.parted(states, COLUMNS, BLOCK) if is_finer else states
    made = writer.node(
        "MatMulNBits",
        [parted, *names],
        domain=MICROSOFT,
        K=COLUMNS,
        N=ROWS,
        bits=8,
        block_size=BLOCK,
        accuracy_level=ROUNDING,
    )
    total = finer.joined(made) if is_finer else made
    writer.node("Identity", [total], outputs=["product"])
    writer.give("product", TensorProto.FLOAT, ["tokens", ROWS])
    writer.write(tmp_path, room_bytes=10**9, progress=lambda *_: None)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options)
    return session, (codes.astype(np.float64) - 128).reshape(ROWS, COLUMNS)


def states_like_those_of_models():
    """Mostly small numbers, a few a hundred times as large, and a block of zeros."""
    states = np.random.default_rng(5).normal(size=(6, COLUMNS)).astype(np.float32)
    states[..., ::37] *= 100
    states[1, :BLOCK] = 0
    return states


def largest_error(session, weights, states):
    found = session.run(None, {"states": states})[0]
    expected = states.astype(np.float64) @ weights.T
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_an_input_in_two_parts_loses_a_hundredth_of_what_rounding_takes(tmp_path):
    session, weights = product_of(tmp_path, is_finer=False)
    rounded = largest_error(session, weights, states_like_those_of_models())
    (tmp_path / "finer").mkdir()
    session, weights = product_of(tmp_path / "finer", is_finer=True)
    finer = largest_error(session, weights, states_like_those_of_models())
    assert rounded > 1e-3
    assert finer < rounded / 100


def test_a_run_may_want_no_tokens(tmp_path):
    session, _ = product_of(tmp_path, is_finer=True)
    assert session.run(None, {"states": np.zeros((0, COLUMNS), np.float32)})[0].shape == (0, ROWS)


def test_products_of_one_input_share_its_parts():
    writer = GraphWriter("shared")
    finer = FinerInputs(writer, InputBlocks(writer))
    assert finer.parted("states", COLUMNS, BLOCK) == finer.parted("states", COLUMNS, BLOCK)
    assert finer.parted("states", COLUMNS, 64) != finer.parted("states", COLUMNS, BLOCK)

"""Products and embeddings in a graph compute what the stored matrices say."""

import json
from collections import Counter

import attrs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from safetensors.numpy import save_file

from homeport import BuildPlan, Quantisation
from homeport.checkpoint import Checkpoint, Part
from homeport.weights import PackedMatrix, PlainCodes, WeightKind, stored_parts, write_metadata
from homeport_onnx.config import OnnxConfig
from homeport_onnx.graph_writer import GraphWriter
from homeport_onnx.matrix_products import Matrix, Products
from homeport_onnx.stored_weights import StoredWeights
from homeport_onnx.weight_choice import WeightChoice

ROWS, COLS, GROUP = 48, 128, 32
UPPER = Part(name="weight", shape=(ROWS, COLS), first_row=0, rows=32)
LOWER = attrs.evolve(UPPER, first_row=32, rows=16)
WHOLE = attrs.evolve(UPPER, rows=ROWS)
BIAS = Part(name="bias", shape=(ROWS,), first_row=0, rows=ROWS)
EXACT = 1e-5
"""Of the largest value."""
LOSSES = {"fp32": EXACT, "int16": 1e-4, "int8": 0.02}
"""What rounded inputs may take off a product."""


@pytest.fixture
def matrix():
    """One with minima far from whole codes."""
    random = np.random.default_rng(11)
    scales = random.uniform(0.01, 0.1, (ROWS, COLS // GROUP)).astype(np.float16)
    mins = (scales * random.uniform(-20, 4, scales.shape)).astype(np.float16)
    codes = random.integers(0, 16, (ROWS, COLS)).astype(np.uint8)
    return PackedMatrix.pack(WeightKind.Q4_MIN, PlainCodes(codes=codes, scales=scales, mins=mins))


@pytest.fixture
def stored(matrix, tmp_path):
    """The checkpoint that holds it, and a bias."""
    tensors = stored_parts("weight", matrix) | {"bias": np.linspace(1, 2, ROWS, dtype=np.float32)}
    metadata = {"format": "pt", **write_metadata({"weight": ROWS})}
    save_file(tensors, tmp_path / "model.safetensors", metadata=metadata)
    (tmp_path / "config.json").write_text(json.dumps({}), encoding="utf-8")
    return Checkpoint.read(tmp_path)


@pytest.fixture
def session(stored, tmp_path):
    """Open a graph whose nodes a function adds; it names the output."""

    def make(add, dims, weights, activations="fp32"):
        config = OnnxConfig(activations=activations)
        choice = WeightChoice.make(stored, BuildPlan(quantisation=Quantisation(weights)), config)
        writer = GraphWriter("products")
        products = Products(writer, StoredWeights(stored), choice, threads=1)
        writer.node("Identity", [add(writer, products)], outputs=["made"])
        writer.give("made", TensorProto.FLOAT, dims)
        writer.write(tmp_path, room_bytes=2**40, progress=lambda *_: None)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(tmp_path / "model.onnx", options)

    return make


def largest_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("tokens", [0, 1, 5])
@pytest.mark.parametrize("activations", LOSSES)
@pytest.mark.parametrize("weights", ["auto", "int8"])
def test_a_matrix_with_minima_is_multiplied_exactly(session, matrix, weights, activations, tokens):
    """In two parts below one another, with a bias; only inputs are rounded."""

    def add(writer, products):
        states = writer.take("states", TensorProto.FLOAT, ["tokens", COLS])
        return products.multiply(states, Matrix(name="joined", parts=(LOWER, UPPER), biases=(BIAS,)))

    states = np.random.default_rng(2).standard_normal((tokens, COLS)).astype(np.float32) + 1

    found = session(add, ["tokens", ROWS], weights, activations).run(None, {"states": states})[0]

    values = matrix.dequantise().astype(np.float64)
    rows = np.concatenate([values[32:], values[:32]])
    expected = states @ rows.T + np.linspace(1, 2, ROWS)
    assert found.shape == expected.shape
    assert tokens == 0 or largest_error(found, expected) < LOSSES[activations]


@pytest.mark.parametrize("weights", ["auto", "int8"])
def test_rows_of_an_embedding_with_minima_are_looked_up(session, matrix, weights):
    def add(writer, products):
        return products.embed(WHOLE, writer.take("ids", TensorProto.INT64, ["batch", "sequence"]))

    ids = np.array([[3, 0, 47], [3, 3, 1]], np.int64)

    found = session(add, ["batch", "sequence", COLS], weights).run(None, {"ids": ids})[0]

    assert largest_error(found, matrix.dequantise()[ids]) < EXACT


def test_products_of_one_input_share_its_sums_and_its_parts(session, tmp_path):
    """Each further product is the operator, what joins both parts, and what adds the offsets."""

    def add(writer, products):
        states = writer.take("states", TensorProto.FLOAT, ["tokens", COLS])
        for part in (UPPER, LOWER):
            made = products.multiply(states, Matrix(name=f"rows.{part.first_row}", parts=(part,)))
        return made

    session(add, ["tokens", LOWER.rows], "auto", "int16")

    nodes = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.node
    assert Counter(node.op_type for node in nodes) == {
        "Reshape": 2,
        "MatMulNBits": 1 + 2,
        "Sub": 1,
        "Concat": 1,
        "ReduceSum": 1 + 2,
        "Gemm": 2,
        "Identity": 1,
    }

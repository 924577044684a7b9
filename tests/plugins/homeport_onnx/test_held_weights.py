"""What a build holds is read back as it was meant."""

import numpy as np
import pytest

from homeport import BuildPlan, Quantisation
from homeport.checkpoint import Checkpoint, DecoderShape, DecoderTensors
from homeport_onnx.block_codes import BlockForm, block_codes
from homeport_onnx.config import OnnxConfig
from homeport_onnx.decoder_graph import DecoderGraph
from homeport_onnx.graph_writer import MODEL_FILE, GraphWriter
from homeport_onnx.held_weights import HeldWeights
from homeport_onnx.matrix_products import Products
from homeport_onnx.stored_weights import StoredWeights
from homeport_onnx.weight_choice import WeightChoice

BITS = {"fp32": 32, "int8": 8, "int4": 4}


@pytest.fixture
def hold(save_llama, tmp_path):
    """Write the graph of a random Llama; give its matrices, and those of the checkpoint."""

    def write(weights, **changes):
        checkpoint = Checkpoint.read(save_llama(**changes))
        shape, stored = DecoderShape.read(checkpoint.config), StoredWeights(checkpoint)
        choice = WeightChoice.make(checkpoint, BuildPlan(quantisation=Quantisation(weights)), OnnxConfig())
        writer = GraphWriter("llama")
        products = Products(writer, stored, choice, threads=1)
        DecoderGraph(shape, writer, products, is_portable=False).add()
        writer.write(tmp_path, room_bytes=2**40, progress=lambda _done, _all: None)
        return HeldWeights(tmp_path / MODEL_FILE, products.matrices), stored, DecoderTensors(shape).layer(1)

    return write


@pytest.mark.parametrize("weights", BITS)
def test_every_matrix_is_read_back_as_its_codes_say(hold, weights):
    """Joined ones too, and from any row on."""
    held, stored, layer = hold(weights)

    for part in (layer.query, layer.key, layer.value, layer.output, layer.up, layer.down):
        expected = stored.rows(part, 5, part.rows)
        if weights != "fp32":
            form = BlockForm(bits=BITS[weights], block=32)
            packed = block_codes(stored, part, form, (5, part.rows))
            blocks = packed.codes.reshape(*packed.scales.shape, form.block).astype(np.float32) - form.middle
            expected = (blocks * packed.scales[..., None]).reshape(packed.codes.shape)
        assert held.bits(part) == BITS[weights]
        assert np.array_equal(held.rows(part, 5, part.rows), expected)
    assert held.is_packed == (weights != "fp32")


@pytest.mark.parametrize("weights", ["fp32", "int8"])
def test_zeros_between_the_components_of_heads_are_left_out(hold, weights):
    held, stored, layer = hold(weights, head_dim=20)

    for part in (layer.query, layer.value, layer.output):
        values = held.rows(part, 3, part.rows)
        assert values.shape == (part.rows - 3, part.shape[1])
        assert np.abs(values - stored.rows(part, 3, part.rows)).max() < 0.01

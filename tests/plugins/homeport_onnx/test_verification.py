"""Builds that compute something else are refused, whatever quantisation would hide; good ones pass."""

import shutil

import attrs
import numpy as np
import onnx
import pytest
from onnx import TensorProto
from safetensors.numpy import load_file, save_file

from homeport import BuildPlan, PullError, Quantisation
from homeport.checkpoint import Checkpoint, DecoderShape
from homeport_onnx.builder import OnnxBuilder
from homeport_onnx.config import OnnxConfig
from homeport_onnx.decoder_graph import DecoderGraph
from homeport_onnx.genai_config import write_genai_config
from homeport_onnx.graph_writer import DATA_FILE, MODEL_FILE, GraphWriter
from homeport_onnx.head_layout import HeadLayout
from homeport_onnx.matrix_products import Products
from homeport_onnx.stored_weights import StoredWeights
from homeport_onnx.verification import verify_decoder
from homeport_onnx.weight_choice import WeightChoice

CONFIG = OnnxConfig(spin_microseconds=0)
WEIGHTS = ("fp32", "int8", "int4")
LAYERS = 4


@attrs.frozen
class Build:
    """A graph written from a checkpoint, not yet verified."""

    checkpoint: Checkpoint
    folder: object
    matrices: list
    weights: str

    def verify(self):
        return verify_decoder(
            self.checkpoint,
            self.folder,
            config=CONFIG,
            threads=1,
            weights=self.weights,
            matrices=self.matrices,
        )

    def copy(self, folder):
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return attrs.evolve(self, folder=folder)

    def edit_graph(self, change):
        model = onnx.load(self.folder / MODEL_FILE, load_external_data=False)
        change(model.graph)
        onnx.save(model, self.folder / MODEL_FILE)

    def tensor(self, name):
        """Map a tensor of the data file, to be written."""
        model = onnx.load(self.folder / MODEL_FILE, load_external_data=False)
        (found,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
        told = {entry.key: entry.value for entry in found.external_data}
        dtype = np.uint8 if found.data_type == TensorProto.UINT8 else np.float32
        return np.memmap(self.folder / DATA_FILE, dtype, "r+", int(told["offset"]), tuple(found.dims))

    def matrix(self, name):
        """Map what scales a matrix, or the matrix itself where it is not packed."""
        return self.tensor(name if self.weights == "fp32" else f"{name}.scales")


@pytest.fixture(scope="module")
def write_graph():
    """Write the graph of a model folder, without verifying it."""

    def write(source, folder, weights, *, is_portable=False):
        checkpoint = Checkpoint.read(source)
        shape = DecoderShape.read(checkpoint.config)
        choice = WeightChoice.make(checkpoint, BuildPlan(quantisation=Quantisation(weights)), CONFIG)
        writer = GraphWriter("llama")
        products = Products(writer, StoredWeights(checkpoint), choice, threads=1)
        DecoderGraph(shape, writer, products, is_portable=is_portable).add()
        writer.write(folder, room_bytes=2**40, progress=lambda _done, _all: None)
        if is_portable:
            layout = HeadLayout(head_dim=shape.head_dim, rotary_dim=shape.rotary_dim)
            write_genai_config(checkpoint, shape, layout.size, folder)
        return Build(checkpoint, folder, products.matrices, weights)

    return write


@pytest.fixture(scope="module")
def write_build(write_graph, save_llama, tmp_path_factory):
    """Write that of a random Llama."""

    def write(weights, *, is_portable=False, **changes):
        source = save_llama(num_hidden_layers=LAYERS, **changes)
        folder = tmp_path_factory.mktemp("graph")
        shutil.copy(source / "config.json", folder)
        return write_graph(source, folder, weights, is_portable=is_portable)

    return write


@pytest.fixture(scope="module", params=WEIGHTS)
def good(request, write_build):
    return write_build(request.param)


def swap_keys_and_values(build):
    matrix = build.matrix("model.layers.2.attention.qkv")
    codes = None if build.weights == "fp32" else build.tensor("model.layers.2.attention.qkv.codes")
    for rows in (matrix,) if codes is None else (matrix, codes):
        rows[64:96], rows[96:128] = rows[96:128].copy(), rows[64:96].copy()


def turn_by_another_theta(build, theta=20_000.0):
    positions, pairs = build.tensor("rotary.0.cosines").shape
    angles = np.outer(np.arange(positions), theta ** (-np.arange(pairs) / pairs))
    build.tensor("rotary.0.cosines")[:] = np.cos(angles)
    build.tensor("rotary.0.sines")[:] = np.sin(angles)


def turn_the_other_way(build):
    build.tensor("rotary.0.sines")[:] *= -1


def turn_places_unevenly(build):
    """A place is counted twice from the tenth on."""
    for name in ("rotary.0.cosines", "rotary.0.sines"):
        table = build.tensor(name)
        table[10:] = table[9:-1].copy()


def forget_the_scale(build):
    def change(graph):
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "GroupQueryAttention" and attribute.name == "scale":
                    attribute.f = 1.0

    build.edit_graph(change)


def forget_a_norm(build):
    build.tensor("model.layers.1.input_layernorm.weight")[:] = 1


def lose_a_layer(build):
    build.matrix("model.layers.2.mlp.down")[:] = 0


def damage_one_row(build):
    build.matrix("model.layers.1.mlp.gate_up")[-3:] *= -1


def damage_an_unused_row_of_the_embedding(build):
    build.matrix("model.embed_tokens.weight")[::2] = 1


def take_the_layer_before(build):
    build.matrix("model.layers.3.attention.output")[:] = build.matrix("model.layers.2.attention.output")
    if build.weights != "fp32":
        name = "model.layers.{}.attention.output.codes"
        build.tensor(name.format(3))[:] = build.tensor(name.format(2))


def narrow_the_view(build):
    def change(graph):
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name == "local_window_size":
                    attribute.i = 8

    build.edit_graph(change)


def lose_the_past(build):
    """A layer takes the keys of another layer's past."""

    def change(graph):
        (attention,) = (
            node
            for node in graph.node
            if node.output and node.output[1:] == ["present.1.key", "present.1.value"]
        )
        attention.input[3] = "past_key_values.0.key"

    build.edit_graph(change)


def overflow(build):
    build.matrix("model.layers.0.mlp.gate_up")[0] = np.nan


SABOTAGE = (
    swap_keys_and_values,
    turn_by_another_theta,
    turn_the_other_way,
    turn_places_unevenly,
    forget_the_scale,
    forget_a_norm,
    lose_a_layer,
    damage_one_row,
    damage_an_unused_row_of_the_embedding,
    take_the_layer_before,
    narrow_the_view,
    lose_the_past,
    overflow,
)


def test_a_good_build_passes_with_its_figures(good):
    figures = good.verify()

    assert figures["tokens"] == 8 * 16
    assert 0 <= figures["mean_kl_divergence"] < {"fp32": 1e-6, "int8": 0.05, "int4": 1.0}[good.weights]
    assert figures["largest_weight_error"] < {"fp32": 1e-9, "int8": 0.01, "int4": 0.1}[good.weights]
    assert figures["top1_agreement"] > {"fp32": 0.99, "int8": 0.8, "int4": 0.2}[good.weights]
    assert figures["largest_logit_difference"] > 0
    assert sorted(path.name for path in good.folder.iterdir()) == ["config.json", MODEL_FILE, DATA_FILE]


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_a_sabotaged_build_is_refused(good, tmp_path, sabotage):
    """At 4 bits too, where the harm is less than what quantisation does."""
    build = good.copy(tmp_path)
    sabotage(build)

    with pytest.raises(PullError) as refused:
        build.verify()

    assert any(character.isdigit() for character in refused.value.message)
    assert refused.value.hint


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_portable_form_is_verified_likewise(write_build, tmp_path, weights):
    good = write_build(weights, is_portable=True)
    assert good.verify()["tokens"] == 8 * 16
    build = good.copy(tmp_path)
    turn_by_another_theta(build)

    with pytest.raises(PullError, match="does not compute what its weights say"):
        build.verify()


def test_heads_with_zeros_between_are_read_back(write_build):
    """Heads of 20 components are stored as 32; the check of the weights takes the zeros out again."""
    figures = write_build("int8", head_dim=20).verify()

    assert 0 < figures["largest_weight_error"] < 0.01


def test_stored_codes_that_were_kept_lose_nothing(good):
    """The figures of weights are exact, so that they say whether a second reference is needed."""
    is_float = good.weights == "fp32"
    assert (good.verify()["largest_weight_error"] == 0) == is_float


def test_a_build_that_lost_too_much_is_refused_and_the_way_out_named(save_llama, tmp_path):
    """One huge weight in every block, which norms keep from mattering, leaves the others no codes."""
    source = save_llama()
    tensors = load_file(source / "model.safetensors")
    for name, values in tensors.items():
        if name.endswith("layernorm.weight"):
            values[::32] = 1e-6
        elif name.endswith(tuple(f"{part}_proj.weight" for part in ("q", "k", "v", "gate", "up"))):
            values[:, ::32] = 40.0
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(source / "config.json", tmp_path)
    plan = BuildPlan(quantisation=Quantisation.INT4)

    with pytest.raises(PullError, match="not itself any more: mean KL divergence") as refused:
        OnnxBuilder(CONFIG).build(source, tmp_path, plan, lambda _done, _all: None)

    assert "--quant" in str(refused.value.hint)


@pytest.mark.model
@pytest.mark.slow
def test_the_starter_loses_little_and_a_slight_mistake_in_it_is_found(write_graph, starter_folder, tmp_path):
    """Waves twice as long change its answers to short prompts by less than rounding to 8 bits does."""
    build = write_graph(starter_folder, tmp_path, "int8")
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(starter_folder / name, tmp_path)
    figures = build.verify()
    assert figures["mean_kl_divergence"] < 0.02
    assert figures["top1_agreement"] > 0.9
    assert figures["largest_weight_error"] < 0.005
    turn_by_another_theta(build, 200_000.0)

    with pytest.raises(PullError, match="does not compute what its weights say"):
        build.verify()

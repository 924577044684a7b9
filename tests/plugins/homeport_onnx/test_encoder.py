"""Embeddings are those that a model's files describe, whoever exported its graph."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from homeport import (
    ContextOverflowError,
    GenerationError,
    LoadError,
    LoadPlan,
)
from homeport.checkpoint import Checkpoint
from homeport.testing.token_model_conformance import TokenModelConformance
from homeport_onnx.config import OnnxConfig
from homeport_onnx.encoder_reference import reference_states
from homeport_onnx.model import OnnxModel

INPUTS = [[5, 9, 2], [71] * 20, [33], [8, 64, 1, 90, 17, 4], [2, 3, 4]]
NORMALIZE = {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}
AXES = ["batch", "sequence"]


def load(path, *, context_length=4096):
    model = OnnxModel(OnnxConfig(spin_microseconds=0))
    return model, model.load(path, LoadPlan(context_length=context_length, slots=4, threads=1))


def write_modules(path, mode, *further, limit=None):
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        *further,
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    if limit is not None:
        (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))


@pytest.fixture(scope="module")
def bert_source(save_encoder):
    """The stored weights of a BERT."""
    return save_encoder()


@pytest.fixture(scope="module")
def states(bert_source):
    """What the BERT makes of each text alone, by the reference."""
    return reference_states(Checkpoint.read(bert_source), INPUTS)


@pytest.fixture(scope="module")
def bert_build(build_encoder):
    """The BERT's build."""
    return build_encoder()


@pytest.fixture
def folder(bert_build, tmp_path):
    """A build that a test may change."""
    return shutil.copytree(bert_build, tmp_path / "bert")


class TestEncoderBuild(TokenModelConformance):
    """A build of an encoder keeps the contract of every local backend."""

    def make_model(self):
        return OnnxModel(OnnxConfig(spin_microseconds=0))

    @pytest.fixture
    def model_path(self, bert_build):
        return bert_build


@pytest.mark.parametrize(
    ("mode", "pool"),
    [("mean", lambda text: text.mean(0)), ("cls", lambda text: text[0]), ("max", lambda text: text.max(0))],
)
def test_tokens_are_pooled_as_the_files_say(folder, states, mode, pool):
    """Each pooling of a padded batch equals that of each text alone, in the order of the inputs."""
    write_modules(folder, mode)
    model, facts = load(folder)

    vectors = model.embed(INPUTS)

    np.testing.assert_allclose(vectors, np.stack([pool(text) for text in states]), rtol=0, atol=1e-5)
    assert vectors.dtype == np.float32
    assert facts.embedding_length == 32
    assert facts.computes == "fp32, onnxruntime"


def test_vectors_are_normalised_when_the_files_list_it(folder):
    """With a Normalize module each vector has length 1."""
    write_modules(folder, "mean", NORMALIZE)

    np.testing.assert_allclose(np.linalg.norm(load(folder)[0].embed(INPUTS), axis=1), 1.0, atol=1e-6)


def test_a_bare_encoder_averages_its_tokens(folder, states):
    """Without modules.json tokens are averaged and the vector keeps its length."""
    np.testing.assert_allclose(load(folder)[0].embed([INPUTS[3]])[0], states[3].mean(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "mpnet"])
def test_padding_changes_no_bit(build_encoder, model_type):
    """A text beside a longer one has the very vector that it has alone."""
    sizes = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4} if model_type == "distilbert" else {}
    model, _ = load(build_encoder(model_type=model_type, **sizes))

    together = model.embed([*INPUTS, [7] * 60])

    for vector, ids in zip(together, INPUTS, strict=False):
        np.testing.assert_array_equal(vector, model.embed([ids])[0])


def test_many_inputs_are_split_into_passes(folder):
    """More tokens than one pass takes come back whole and in order."""
    model, _ = load(folder)
    inputs = [[1 + place % 90] * (1 + place % 50) for place in range(150)]

    vectors = model.embed(inputs)

    for place in (0, 49, 50, 149):
        np.testing.assert_allclose(vectors[place], model.embed([inputs[place]])[0], rtol=0, atol=1e-5)


def test_long_texts_are_computed_in_parts(save_encoder, build_encoder):
    """A text that is too long for the scores of all its pairs has the vector of the reference."""
    sizes = {"max_position_embeddings": 1200}
    model, _ = load(build_encoder(**sizes))
    inputs = [np.random.default_rng(length).integers(97, size=length).tolist() for length in (1200, 1024, 7)]

    vectors = model.embed(inputs)

    expected = reference_states(Checkpoint.read(save_encoder(**sizes)), inputs)
    np.testing.assert_allclose(vectors, np.stack([text.mean(0) for text in expected]), rtol=0, atol=1e-5)


def test_no_inputs_give_no_vectors(folder):
    """An empty request is answered with the width of a vector."""
    assert load(folder)[0].embed([]).shape == (0, 32)


@pytest.mark.parametrize(("limit", "window"), [(16, 16), (500, 64), (None, 64)])
def test_the_window_is_the_smaller_limit(folder, limit, window):
    """Neither the files' limit nor the table of positions is exceeded, whatever the plan."""
    write_modules(folder, "mean", limit=limit)
    model, facts = load(folder)

    assert facts.context_length == window
    assert np.isfinite(model.embed([[3] * window])).all()


def test_roberta_reads_as_many_tokens_as_it_has_positions(build_encoder):
    """Its last position is used, and the next token is refused."""
    model, facts = load(build_encoder(model_type="roberta", pad_token_id=1))

    assert facts.context_length == 62
    assert np.isfinite(model.embed([[5] * 62, [7]])).all()
    with pytest.raises(ContextOverflowError, match="63 tokens exceeds the model's 62"):
        model.embed([[5] * 63])


def test_a_vocabulary_that_the_graph_lacks_is_an_error_of_the_request(folder):
    """Where config.json claims more tokens than there are, the pass fails and the next one works."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 1000}))
    model, _ = load(folder)

    with pytest.raises(GenerationError, match=r"cannot embed: .*out of data bounds"):
        model.embed([[999]])
    assert model.embed([[5]]).shape == (1, 32)


def rewrite(folder, change):
    """Change a build's graph into what another program would have exported."""
    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    (folder / "model.onnx.data").unlink()
    onnx.save(model, folder / "model.onnx")
    return folder


def rename_output(graph, name):
    graph.output[0].name = name
    for node in graph.node:
        node.output[:] = [name if output == "last_hidden_state" else output for output in node.output]


def replace_input(graph, name, kind, shape):
    [place] = [place for place, value in enumerate(graph.input) if value.name == name]
    graph.input[place].CopyFrom(helper.make_tensor_value_info(name, kind, shape))


def test_token_types_of_an_export_are_zeros(folder, states):
    """A graph that asks of which text a token is, is told that it is the first's."""

    def add(graph):
        graph.input.append(helper.make_tensor_value_info("token_type_ids", TensorProto.INT64, AXES))
        types = np.stack([np.zeros(32, np.float32), np.full(32, 100, np.float32)])
        graph.initializer.append(numpy_helper.from_array(types, "types"))
        rename_output(graph, "untyped")
        graph.node.append(helper.make_node("Gather", ["types", "token_type_ids"], ["typed"]))
        graph.node.append(helper.make_node("Add", ["untyped", "typed"], ["last_hidden_state"]))
        graph.output[0].name = "last_hidden_state"

    model, _ = load(rewrite(folder, add))

    np.testing.assert_allclose(model.embed([INPUTS[0]])[0], states[0].mean(0), rtol=0, atol=1e-5)


def test_a_sentence_embedding_is_taken_as_it_is(folder, states):
    """A graph that pools by itself is not pooled again, nor held to modules that it has inside."""
    write_modules(folder, "cls", {"type": "sentence_transformers.models.Dense", "path": "2_Dense"}, limit=32)

    def pool(graph):
        rename_output(graph, "token_embeddings")
        graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        node = helper.make_node("ReduceMax", ["token_embeddings", "axis"], ["sentence_embedding"], keepdims=0)
        graph.node.append(node)
        value = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", "width"])
        graph.output.append(value)

    model, facts = load(rewrite(folder, pool))

    np.testing.assert_allclose(model.embed([INPUTS[3]])[0], states[3].max(0), rtol=0, atol=1e-5)
    assert (facts.embedding_length, facts.context_length) == (32, 32)


def test_other_types_and_names_of_exports_are_fed(folder, states):
    """Ids of 32 bits, states in 16, and sentence-transformers' name for them: the vectors are the same."""

    def narrow(graph):
        replace_input(graph, "input_ids", TensorProto.INT32, AXES)
        for node in graph.node:
            node.input[:] = ["wide_ids" if name == "input_ids" else name for name in node.input]
        wide = helper.make_node("Cast", ["input_ids"], ["wide_ids"], to=TensorProto.INT64)
        graph.node.insert(0, wide)
        rename_output(graph, "wide_states")
        cast = helper.make_node("Cast", ["wide_states"], ["token_embeddings"], to=TensorProto.FLOAT16)
        graph.node.append(cast)
        value = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT16, [*AXES, 32])
        graph.output[0].CopyFrom(value)

    model, _ = load(rewrite(folder, narrow))

    vectors = model.embed(INPUTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.stack([text.mean(0) for text in states]), rtol=0, atol=1e-2)


def unfuse(graph):
    """Put plain products in the place of those that multiply by a transposed matrix."""
    for node in graph.node:
        if node.op_type == "FusedMatMul":
            node.op_type, node.domain = "MatMul", ""
            del node.attribute[:]
            [matrix] = [tensor for tensor in graph.initializer if tensor.name == node.input[1]]
            matrix.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(matrix).T.copy(), matrix.name))


def test_texts_that_would_change_each_other_are_alone_in_a_pass(folder):
    """A graph that rounds by the largest number of a pass gives each text the vector that it has alone."""
    file = rewrite(folder, unfuse) / "model.onnx"
    options = {"DefaultTensorType": TensorProto.FLOAT}
    quantize_dynamic(file, file, weight_type=QuantType.QInt8, extra_options=options)
    assert "DynamicQuantizeLinear" in {node.op_type for node in onnx.load(file).graph.node}
    model, facts = load(folder)

    together = model.embed([*INPUTS, [7] * 60])

    for vector, ids in zip(together, INPUTS, strict=False):
        np.testing.assert_array_equal(vector, model.embed([ids])[0])
    assert facts.computes == "int8 weights, onnxruntime"


def test_a_graph_for_one_text_is_given_one(folder, states):
    """Where the first axis is fixed to 1, texts do not share a pass."""

    def fix(graph):
        for name in ("input_ids", "attention_mask"):
            replace_input(graph, name, TensorProto.INT64, [1, "sequence"])

    model, _ = load(rewrite(folder, fix))

    expected = np.stack([text.mean(0) for text in states])
    np.testing.assert_allclose(model.embed(INPUTS), expected, rtol=0, atol=1e-5)


def ask_for_pixels(graph):
    graph.input.append(helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (ask_for_pixels, "the graph asks for attention_mask, input_ids, pixel_values, expected input_ids"),
        (lambda graph: rename_output(graph, "logits"), "gives back logits, expected sentence_embedding"),
        (
            lambda graph: replace_input(graph, "input_ids", TensorProto.INT64, ["batch", 16]),
            r"input 'input_ids' is int64 of shape \['batch', 16\], expected int64 or int32 of free",
        ),
        (
            lambda graph: replace_input(graph, "input_ids", TensorProto.INT64, [4, "sequence"]),
            r"input 'input_ids' is int64 of shape \[4, 'sequence'\]",
        ),
    ],
    ids=["unknown input", "no states", "fixed length", "fixed batch"],
)
def test_graphs_that_cannot_be_fed_are_refused(folder, change, message):
    """What a graph wants or gives is named beside what is expected."""
    with pytest.raises(LoadError, match=message) as caught:
        load(rewrite(folder, change))
    assert "optimum-cli" in str(caught.value.hint)


def put_behind(graph, name, *nodes):
    """Let further nodes make the output out of ``states``."""
    rename_output(graph, "states")
    graph.node.extend(nodes)
    graph.output[0].name = name


@pytest.mark.parametrize(
    ("name", "node", "message"),
    [
        ("sentence_embedding", ("Identity", ["states"]), r"has shape \[1, 1, 32\], expected \[1\] vectors"),
        ("last_hidden_state", ("Squeeze", ["states"]), r"has shape \[32\], expected \[1, 1\] vectors"),
    ],
)
def test_states_of_another_shape_are_refused(folder, name, node, message):
    """A graph that gives anything but vectors of texts or tokens is found when it is loaded."""
    operator, inputs = node

    with pytest.raises(LoadError, match=message):
        load(
            rewrite(folder, lambda graph: put_behind(graph, name, helper.make_node(operator, inputs, [name])))
        )


def test_one_vector_for_several_texts_is_an_error(folder):
    """What looked sound with one text, and with more would give all the same vector, is found."""

    def pool_all(graph):
        graph.initializer.append(numpy_helper.from_array(np.array([0, 1], np.int64), "axes"))
        means = helper.make_node("ReduceMean", ["states", "axes"], ["flat"], keepdims=1)
        graph.initializer.append(numpy_helper.from_array(np.array([1, 32], np.int64), "shape"))
        node = helper.make_node("Reshape", ["flat", "shape"], ["sentence_embedding"])
        put_behind(graph, "sentence_embedding", means, node)

    model, _ = load(rewrite(folder, pool_all))

    assert model.embed([[5]]).shape == (1, 32)
    with pytest.raises(GenerationError, match=r"of 2 texts of 3 tokens has shape \[1, 32\], expected \[2\]"):
        model.embed([[5, 6, 7], [8]])


def test_vectors_whose_width_changes_are_an_error(folder):
    """A graph that makes longer vectors of longer texts is no encoder."""

    def flatten(graph):
        put_behind(
            graph, "sentence_embedding", helper.make_node("Flatten", ["states"], ["sentence_embedding"])
        )

    model, _ = load(rewrite(folder, flatten))

    with pytest.raises(GenerationError, match="makes vectors of 64 numbers, expected 32 as at first"):
        model.embed([[5, 6]])

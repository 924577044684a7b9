"""Builds of encoders are checked, and what cannot be built is refused before it is served."""

import json

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from homeport import BuildPlan, PullError, Quantisation
from homeport.checkpoint import Checkpoint
from homeport_onnx.builder import OnnxBuilder
from homeport_onnx.config import OnnxConfig
from homeport_onnx.encoder_verification import verify_encoder

CONFIG = OnnxConfig(spin_microseconds=0)
WEIGHTS = "model.safetensors"


def change_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_build_reports_what_it_is_and_how_far_it_came(save_encoder, build, tmp_path):
    """Weights stay float32 unless asked, the check's figures are told, and progress ends at the end."""
    steps = []

    report = build(save_encoder(), progress=lambda done, total: steps.append((done, total)))

    assert (report.weights, report.bits_per_weight, report.kv_bytes_per_token) == ("fp32", 32, 0)
    assert report.figures["worst_cosine"] > 0.99999
    assert report.figures["tokens"] == 3 + 8 + 12 + 17 + 25 + 40 + 60 + 64
    assert steps == sorted(steps)
    assert steps[-1] == ((tmp_path / "built" / "model.onnx.data").stat().st_size,) * 2


def test_a_build_has_the_inputs_and_the_output_that_others_know(save_encoder, build, tmp_path):
    """Any program that runs feature-extraction exports can run the folder."""
    build(save_encoder())

    graph = onnx.load(tmp_path / "built" / "model.onnx", load_external_data=False).graph

    assert {value.name for value in graph.input} == {"input_ids", "attention_mask"}
    assert [value.name for value in graph.output] == ["last_hidden_state"]


@pytest.mark.parametrize(
    ("quantisation", "setting", "expected"),
    [
        ("int8", "auto", ("int8", "int8 was asked for; inputs of products in int16")),
        ("auto", "int8", ("int8", "int8 was asked for; inputs of products in int16")),
        ("int4", "auto", ("int8", "embedding models have 8 bits at least")),
        ("fp32", "int8", ("fp32", "fp32 was asked for")),
    ],
)
def test_weights_are_packed_where_asked(save_encoder, build, quantisation, setting, expected):
    """The plan goes before the settings, and fewer than 8 bits are never taken."""
    report = build(save_encoder(), settings={"weights": setting}, quantisation=Quantisation(quantisation))

    assert (report.weights, report.note) == expected
    assert report.figures["worst_cosine"] > 0.99


def test_a_build_of_other_weights_is_refused(save_encoder, build, tmp_path):
    """A vector that points elsewhere than the stored weights say ends the build, with the cosine."""
    source = save_encoder()
    build(source)
    change_weights(source, lambda tensors: tensors["encoder.layer.1.output.dense.weight"].__imul__(-1))

    with pytest.raises(PullError, match=r"worst cosine [-0-9.]+, expected at least 0.9999") as caught:
        verify_encoder(Checkpoint.read(source), tmp_path / "built", config=CONFIG, threads=1, weights="fp32")
    assert caught.value.hint


def test_weights_that_are_no_numbers_are_refused(save_encoder, build):
    """NaN is not close to anything, itself included."""
    source = save_encoder()
    change_weights(source, lambda tensors: tensors["embeddings.LayerNorm.bias"].fill(np.nan))

    with np.errstate(invalid="ignore"), pytest.raises(PullError, match="worst cosine nan"):
        build(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "cannot build .*: position_embedding_type is"),
        ({"architectures": ["BertLMHeadModel"]}, "cannot build .*: architectures are"),
        ({"hidden_size": 30}, "hidden_size is 30, expected a multiple of num_attention_heads"),
        ({"vocab_size": 98}, r"word_embeddings.weight' has shape \[97, 32\], expected \[98, 32\]"),
        ({"num_hidden_layers": 3}, "encoder.layer.2.attention.self.query.weight' is missing"),
        ({"num_hidden_layers": 1}, "its tensor 'encoder.layer.1.* has no place in the graph"),
    ],
)
def test_models_that_the_graph_would_not_compute_are_refused(save_encoder, build, changes, message):
    """A contradiction between config.json and weights, and a part that is not computed, are named."""
    source = save_encoder()
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | changes))

    with pytest.raises(PullError, match=message) as caught:
        build(source)
    assert caught.value.hint


def test_a_pooling_that_is_not_computed_is_refused(save_encoder, build, tmp_path):
    """A model with a layer behind its pooling is refused when it is pulled, not when it is loaded."""
    modules = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    source = save_encoder()
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "config.json").write_bytes((source / "config.json").read_bytes())
    (tmp_path / "built" / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(PullError, match="names a module 'Dense'"):
        OnnxBuilder(CONFIG).build(source, tmp_path / "built", BuildPlan(), lambda _done, _all: None)


def test_a_build_that_has_no_room_is_refused(save_encoder, build):
    """Nothing is written where the disk would fill up."""
    with pytest.raises(PullError, match=r"0\.00 GB are free where it goes"):
        build(save_encoder(), room_bytes=1000)

"""Builds from folders: what is reported, and what is refused."""

import json
import tracemalloc

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from homeport import PullError, Quantisation
from homeport.weights import quantise_q4, stored_parts, write_metadata

MATRICES = "proj"


def pack(folder, but="none"):
    """Pack the matrices of a folder into 4 bits, as a pull does, but those of one name."""
    tensors, rows = {}, {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if MATRICES in name and but not in name:
            tensors |= stored_parts(name, quantise_q4(tensor))
            rows[name] = len(tensor)
        else:
            tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", metadata=write_metadata(rows))


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | values), encoding="utf-8")


def nodes(folder):
    return [node.op_type for node in onnx.load(folder / "model.onnx", load_external_data=False).graph.node]


@pytest.mark.parametrize(
    ("quant", "weights", "bits"),
    [
        (Quantisation.AUTO, "fp32", (32, 32)),
        (Quantisation.INT8, "int8", (9, 9.5)),
        (Quantisation.INT4, "int4", (5, 6.9)),
    ],
)
def test_the_report_tells_what_became_of_the_weights(save_llama, build, quant, weights, bits):
    report = build(save_llama(), quantisation=quant, settings={"activations": "fp32"})

    assert report.weights == weights
    assert report.note
    assert bits[0] <= report.bits_per_weight <= bits[1]
    assert report.kv_bytes_per_token == 2 * 2 * 2 * 16 * 4
    assert {"mean_kl_divergence", "top1_agreement"} <= report.figures.keys()


def test_packed_weights_are_built_as_they_are(save_llama, build, tmp_path):
    """Nothing but rounding of sums is lost."""
    source = save_llama()
    pack(source)

    report = build(source, settings={"activations": "fp32"})

    assert report.weights == "int4"
    assert report.figures["mean_kl_divergence"] < 1e-9
    assert nodes(tmp_path / "built").count("MatMulNBits") == 2 * 4


def test_parts_of_different_bits_are_products_of_their_own(save_llama, build, tmp_path):
    """Where not all of queries, keys and values are packed, they cannot be one matrix."""
    source = save_llama()
    pack(source, but="k_proj")

    build(source, settings={"activations": "fp32"})

    assert nodes(tmp_path / "built").count("MatMulNBits") == 2 * 5
    assert nodes(tmp_path / "built").count("FusedMatMul") == 2 + 1


@pytest.mark.parametrize("quant", [Quantisation.INT4, Quantisation.INT8])
def test_matrices_of_odd_sizes_stay_numbers(save_llama, build, tmp_path, quant):
    """Columns that make no whole blocks are multiplied in float32, and all else is packed."""
    build(save_llama(intermediate_size=90), quantisation=quant, settings={"activations": "fp32"})

    assert nodes(tmp_path / "built").count("FusedMatMul") == 2


@pytest.mark.parametrize("group", [32, 64])
def test_a_group_is_chosen_by_the_plan(save_llama, build, tmp_path, group):
    build(save_llama(), quantisation=Quantisation.INT4, group=group, settings={"activations": "fp32"})

    graph = onnx.load(tmp_path / "built" / "model.onnx", load_external_data=False).graph
    blocks = [
        attribute.i
        for node in graph.node
        if node.op_type == "MatMulNBits" and node.name
        for attribute in node.attribute
        if attribute.name == "block_size"
    ]
    assert group in blocks


def test_progress_counts_up_to_all_bytes(save_llama, build):
    seen = []

    build(save_llama(), progress=lambda done, of: seen.append((done, of)))

    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_what_does_not_fit_is_refused_before_it_is_written(save_llama, build, tmp_path):
    with pytest.raises(PullError, match=r"0\.00 GB are free"):
        build(save_llama(), room_bytes=100_000)
    assert [file.name for file in (tmp_path / "built").iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "mixtral"}, "model_type 'mixtral' is none of"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', not silu"),
        ({"model_type": None}, "model_type None is none of"),
    ],
)
def test_other_models_are_told_where_to_go(save_llama, build, changes, reason):
    source = save_llama()
    change(source, **changes)

    with pytest.raises(PullError, match=reason) as caught:
        build(source)

    assert "llama, smollm3" in str(caught.value)
    assert "homeport export MODEL --to DIR --with optimum" in caught.value.hint


def test_a_tensor_that_is_not_of_the_family_is_named(save_llama, build):
    source = save_llama()
    tensors = load_file(source / "model.safetensors")
    save_file(tensors | {"model.layers.0.extra.weight": np.ones(3, np.float32)}, source / "model.safetensors")

    with pytest.raises(PullError, match=r"'model\.layers\.0\.extra\.weight' is not of its family"):
        build(source)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": 128}, r"has shape \[97, 64\], expected \[97, 128\]"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_hidden_layers": 3}, r"'model\.layers\.2\..*' is missing"),
    ],
)
def test_files_that_contradict_each_other_are_refused(save_llama, build, changes, reason):
    """What mends it is told once."""
    source = save_llama()
    change(source, **changes)
    with pytest.raises(PullError, match=reason) as caught:
        build(source)
    assert caught.value.hint
    assert caught.value.hint not in caught.value.message


def test_a_folder_without_weights_is_refused(save_llama, build):
    source = save_llama()
    (source / "model.safetensors").unlink()
    with pytest.raises(PullError, match=r"holds no 'model\.safetensors'"):
        build(source)


def test_an_unknown_exporter_is_refused(save_llama, build):
    with pytest.raises(PullError, match="no exporter 'olive', expected 'optimum'"):
        build(save_llama(), exporter="olive")


@pytest.mark.parametrize("quant", [Quantisation.FP32, Quantisation.INT4])
def test_a_build_takes_little_memory(save_llama, build, quant):
    """Weights pass through in pieces, those of the check too: 70 MB of them here."""
    source = save_llama(hidden_size=256, intermediate_size=3072, num_hidden_layers=8)

    tracemalloc.start()
    build(source, quantisation=quant, room_bytes=10**9, settings={"activations": "fp32"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (source / "model.safetensors").stat().st_size > 70 * 2**20
    assert peak < 45 * 2**20


def test_the_portable_form_tells_other_programs_how_to_run_it(save_llama, build, tmp_path):
    """The layout of onnxruntime-genai: a mask, logits behind every token, and its own configuration."""
    source = save_llama()
    (source / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [2, 5], "temperature": 0.2}), encoding="utf-8"
    )

    build(source, is_portable=True)

    graph = onnx.load(tmp_path / "built" / "model.onnx", load_external_data=False).graph
    assert [each.name for each in graph.input][:3] == ["input_ids", "attention_mask", "past_key_values.0.key"]
    config = json.loads((tmp_path / "built" / "genai_config.json").read_text(encoding="utf-8"))
    assert config["model"]["eos_token_id"] == [2, 5]
    assert config["model"]["pad_token_id"] == 2
    assert config["model"]["bos_token_id"] == 1
    assert config["model"]["type"] == "llama"
    assert config["model"]["context_length"] == config["search"]["max_length"] == 64
    assert config["model"]["decoder"]["num_key_value_heads"] == 2
    assert config["model"]["decoder"]["head_size"] == 16
    assert config["search"]["temperature"] == 0.2
    assert config["search"]["past_present_share_buffer"] is True

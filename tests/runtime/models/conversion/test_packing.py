"""Whole models, converted into packed weights: small random ones in both formats."""

import json
import shutil

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from homeport import Artifact
from homeport.domain.errors import PullError
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.conversion.bfloat16 import narrow, widen
from homeport.models.conversion.folder_weights import folder_weights
from homeport.models.conversion.importing import convert
from homeport.models.conversion.safetensors_file import read_safetensors_head
from homeport.weights import quantise_q4, quantise_q8

WEIGHTS = "model.safetensors"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 37,
    "max_position_embeddings": 64,
    "torch_dtype": "bfloat16",
}
LAYER = "model.layers.0."
Q_PROJ = LAYER + "self_attn.q_proj.weight"
SHAPES = {
    "model.embed_tokens.weight": (37, 64),
    "lm_head.weight": (37, 64),
    "model.norm.weight": (64,),
    Q_PROJ: (64, 64),
    LAYER + "self_attn.k_proj.weight": (32, 64),
    LAYER + "mlp.down_proj.weight": (64, 96),
    LAYER + "input_layernorm.weight": (64,),
}


def random_weights(seed=0):
    """Weights that bfloat16 holds exactly."""
    random = np.random.default_rng(seed)
    return {
        name: widen(narrow(random.standard_normal(shape).astype(np.float32)))
        for name, shape in SHAPES.items()
    }


@pytest.fixture
def published(tmp_path):
    """A decoder in two files, as float32."""
    folder = tmp_path / "download"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    weights = random_weights()
    shards = {f"model-{part}.safetensors": dict(list(weights.items())[part::2]) for part in (0, 1)}
    for shard, tensors in shards.items():
        save_file(tensors, folder / shard)
    index = {name: shard for shard, tensors in shards.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def take(download, folder, quantisation, *, is_demanded=True, room_bytes=10**9, told=None):
    return convert(
        download,
        folder,
        artifact=Artifact(source="tests", locator="tests:x"),
        wish=WeightsWish(Quantisation(quantisation), is_demanded),
        room_bytes=room_bytes,
        progress=lambda done, total: None if told is None else told.append((done, total)),
    )


def numbers(folder):
    """All weights of a folder, packed or not, as float32."""
    return {
        weight.name: weight.rows()[0 : weight.shape[0]]
        if weight.kind or len(weight.shape) > 1
        else np.array(weight.values())
        for weight in folder_weights(folder, [WEIGHTS])
    }


@pytest.mark.parametrize(("quantisation", "layers"), [("int4", quantise_q4), ("int8", quantise_q8)])
def test_published_weights_are_packed(published, tmp_path, quantisation, layers):
    """Layers have the bits that were asked for, tables 8, vectors stay; nothing else is in the folder."""
    told = []
    manifest = take(published, tmp_path / "entry", quantisation, told=told)
    given, found = random_weights(), numbers(tmp_path / "entry")
    assert given.keys() == found.keys()
    for name, values in given.items():
        quantise = {2: quantise_q8 if "proj" not in name else layers}.get(values.ndim)
        assert np.array_equal(found[name], quantise(values).dequantise() if quantise else values), name
    assert {path.name for path in (tmp_path / "entry").iterdir()} == {
        "config.json",
        "tokenizer.json",
        WEIGHTS,
    }
    assert manifest.weights == quantisation
    assert manifest.quant == quantisation
    assert manifest.quantization == "F32"
    assert manifest.parameter_count == sum(values.size for values in given.values())
    assert told[-1][0] == told[-1][1] > 0


def test_bits_per_weight_count_scales_and_vectors(published, tmp_path):
    """The figure is what the file holds by the number of weights."""
    manifest = take(published, tmp_path / "entry", "int4")
    head = read_safetensors_head(tmp_path / "entry" / WEIGHTS)
    stored = sum(tensor.size for tensor in head.tensors.values())
    assert manifest.bits_per_weight == round(stored * 8 / manifest.parameter_count, 2)
    assert 5 < manifest.bits_per_weight < 10


def test_file_has_the_layout_that_is_described(published, tmp_path):
    """Names, types and shapes of the packed form, its version and the rows of strips that are not full."""
    take(published, tmp_path / "entry", "int4")
    head = read_safetensors_head(tmp_path / "entry" / WEIGHTS)
    assert head.metadata["homeport_weights"] == "1"
    assert json.loads(head.metadata["homeport_rows"]) == {
        "lm_head.weight": 37,
        "model.embed_tokens.weight": 37,
    }
    shapes = {name: (tensor.dtype, tensor.shape) for name, tensor in head.tensors.items()}
    assert shapes[Q_PROJ + ".q4"] == ("U8", (4, 8, 16, 4))
    assert shapes[Q_PROJ + ".scales"] == ("F16", (4, 2, 16))
    assert shapes["lm_head.weight.q8"] == ("U8", (3, 16, 16, 4))
    assert shapes["model.norm.weight"] == ("F32", (64,))
    assert all(
        tensor.offset % 64 == 0 for name, tensor in head.tensors.items() if name[-3:] in {".q4", ".q8"}
    )


@pytest.mark.parametrize(("quantisation", "dtype"), [("bf16", "bfloat16"), ("fp32", "float32")])
def test_numbers_can_be_asked_for(published, tmp_path, quantisation, dtype):
    """Matrices change their type, and config.json names it; here bfloat16 holds them exactly."""
    manifest = take(published, tmp_path / "entry", quantisation)
    found = numbers(tmp_path / "entry")
    assert all(np.array_equal(found[name], values) for name, values in random_weights().items())
    config = json.loads((tmp_path / "entry" / "config.json").read_text())
    assert config["dtype"] == dtype
    assert "torch_dtype" not in config
    assert manifest.weights == quantisation


def test_small_models_are_moved_as_they_are(published, tmp_path):
    """Shards and index stay; the manifest says why."""
    manifest = take(published, tmp_path / "entry", "auto")
    assert (tmp_path / "entry" / "model-0.safetensors").is_file()
    assert (manifest.weights, manifest.bits_per_weight) == ("fp32", 32.0)
    assert "fewer than 0.3" in manifest.weights_note


def test_packed_folder_can_be_taken_over_again(published, tmp_path):
    """A folder of our own is a source like any other: its bits are kept, or unpacked where that is wanted."""
    take(published, tmp_path / "first", "int4")
    expected = numbers(tmp_path / "first")
    for quantisation, label in (("fp32", "fp32"), ("auto", "int4")):
        folder = tmp_path / quantisation
        manifest = take(shutil.copytree(tmp_path / "first", tmp_path / f"for-{label}"), folder, quantisation)
        assert manifest.weights == label
        assert manifest.parameter_count == sum(values.size for values in expected.values())
        assert all(np.array_equal(values, expected[name]) for name, values in numbers(folder).items())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e9])
def test_weights_that_cannot_be_packed_are_refused_by_name(published, tmp_path, wrong):
    """The error names the tensor and the way out, and takes nothing over."""
    shard = next(path for path in published.glob("model-*") if Q_PROJ in load_file(path))
    tensors = load_file(shard)
    tensors[Q_PROJ][3, 5] = wrong
    save_file(tensors, shard)
    with pytest.raises(PullError, match=r"q_proj\.weight' cannot be packed") as caught:
        take(published, tmp_path / "entry", "int4")
    assert "--quant bf16" in caught.value.hint


@pytest.mark.parametrize("keep", [0, 7, 100, 2000])
def test_cut_files_are_refused(published, tmp_path, keep):
    """A shard that was cut short is found out before anything is packed."""
    shard = published / "model-1.safetensors"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(PullError, match="not a usable safetensors file"):
        take(published, tmp_path / "entry", "int4")


def test_packed_folder_with_a_damaged_head_is_refused(published, tmp_path):
    """Codes whose scales are gone are no model."""
    take(published, tmp_path / "first", "int4")
    path = tmp_path / "first" / WEIGHTS
    tensors = load_file(path)
    metadata = dict(read_safetensors_head(path).metadata)
    del tensors[Q_PROJ + ".scales"]
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(PullError, match="packed weights that cannot be read"):
        take(tmp_path / "first", tmp_path / "second", "auto")


def test_no_more_is_written_than_there_is_room_for(published, tmp_path):
    """The size is known before the first weight is packed."""
    with pytest.raises(PullError, match="GB of disk"):
        take(published, tmp_path / "entry", "int4", room_bytes=1000)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q8_0"])
def test_gguf_weights_keep_their_bits(write_gguf, tmp_path, kind):
    """Packed weights stand for exactly what the float32 conversion holds, rotary rows in their order."""
    (tmp_path / "download").mkdir()
    write_gguf(tmp_path / "download" / "tiny.gguf", kind=kind, own_output=True)
    packed = take(tmp_path / "download", tmp_path / "packed", "auto")
    wide = take(tmp_path / "download", tmp_path / "wide", "fp32")
    found, expected = numbers(tmp_path / "packed"), numbers(tmp_path / "wide")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], values) for name, values in expected.items())
    assert (packed.weights, wide.weights) == ("int4" if kind.startswith("Q4") else "int8", "fp32")
    assert packed.quantization == wide.quantization == kind
    assert packed.bits_per_weight < wide.bits_per_weight


def test_gguf_weights_of_other_formats_become_8_bits(write_gguf, tmp_path):
    """What no packed form holds is quantised again, at an error far below its own."""
    (tmp_path / "download").mkdir()
    write_gguf(tmp_path / "download" / "tiny.gguf", kind="Q5_1")
    assert take(tmp_path / "download", tmp_path / "packed", "auto").weights == "int8"
    take(tmp_path / "download", tmp_path / "wide", "fp32")
    found, expected = numbers(tmp_path / "packed"), numbers(tmp_path / "wide")
    for name, values in expected.items():
        assert np.sqrt(np.mean(np.square(found[name] - values))) < 0.01 * values.std(), name


def test_gguf_floats_can_be_packed(write_gguf, tmp_path):
    """A GGUF file of floats is treated like a published folder."""
    (tmp_path / "download").mkdir()
    write_gguf(tmp_path / "download" / "tiny.gguf", kind="BF16")
    manifest = take(tmp_path / "download", tmp_path / "packed", "int4")
    take(tmp_path / "download", tmp_path / "wide", "fp32")
    wide, found = numbers(tmp_path / "wide"), numbers(tmp_path / "packed")
    assert manifest.weights == "int4"
    assert np.array_equal(found[Q_PROJ], quantise_q4(wide[Q_PROJ]).dequantise())


def test_gguf_scale_that_is_no_number_is_refused(write_gguf, tmp_path):
    """A damaged block does not become a model that answers NaN."""
    (tmp_path / "download").mkdir()
    path = write_gguf(tmp_path / "download" / "tiny.gguf", kind="Q4_0")
    reader = gguf.GGUFReader(path)
    tensor = next(each for each in reader.tensors if each.name == "blk.0.ffn_up.weight")
    data = bytearray(path.read_bytes())
    data[tensor.data_offset : tensor.data_offset + 2] = np.float16(np.nan).tobytes()
    path.write_bytes(data)
    with pytest.raises(PullError, match=r"up_proj\.weight' cannot be packed"):
        take(tmp_path / "download", tmp_path / "packed", "auto")

import json
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

from homeport.domain.errors import PullError
from homeport.domain.models import Capability
from homeport.domain.quantisation import WeightsWish
from homeport.models.conversion.importing import convert
from homeport.plugin.protocols import Artifact

AUTO = WeightsWish()
DECODER = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "auto_map": {"AutoConfig": "evil.Config"},
}
ENCODER = {**DECODER, "architectures": ["BertModel"], "model_type": "bert"}
MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


@pytest.fixture
def published(tmp_path):
    """A folder as a decoder is published, with a little more than is needed."""
    folder = tmp_path / "download"
    folder.mkdir()
    write(folder, "config.json", DECODER)
    write(
        folder,
        "generation_config.json",
        {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1, "eos_token_id": 2},
    )
    write(
        folder,
        "tokenizer_config.json",
        {"chat_template": "{{ messages }}", "auto_map": {"AutoTokenizer": ["evil.T", None]}},
    )
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    save_file({"w": np.ones((4, 8), np.float32), "n": np.zeros(3, np.int64)}, folder / "model.safetensors")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# Model\nlicense: none\n")
    (folder / "evil.py").write_text("raise SystemExit")
    (folder / "training_args.bin").write_bytes(b"x")
    return folder


@pytest.fixture
def importing(published, tmp_path):
    """Import the folder; gives the manifest and the entry."""

    def run(wish=AUTO):
        manifest = convert(
            published,
            tmp_path / "entry",
            artifact=Artifact(source="tests", locator="tests:x"),
            wish=wish,
            room_bytes=10**9,
            progress=lambda *_: None,
        )
        return manifest, tmp_path / "entry"

    return run


def write(folder, name, content):
    """Write a JSON file."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def test_takes_what_a_decoder_needs(importing):
    """Weights, tokenizer and settings are taken over; code, cards and pickles stay behind."""
    manifest, entry = importing()
    assert {path.name for path in entry.iterdir()} == {
        "config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json",
        "model.safetensors",
    }  # fmt: skip
    assert {file.path for file in manifest.files} == {path.name for path in entry.iterdir()}
    assert manifest.capabilities == {Capability.COMPLETION}
    assert (manifest.license, manifest.template, manifest.quantization) == (
        "apache-2.0",
        "{{ messages }}",
        "F32",
    )
    assert manifest.parameters == {"temperature": 0.6, "top_k": 20, "repeat_penalty": 1.1}
    assert (manifest.family, manifest.parameter_count) == ("llama", 32)
    assert (manifest.context_length, manifest.embedding_length) == (64, 8)
    assert manifest.facts["llama.block_count"] == 2


def test_names_no_code(importing):
    """``auto_map``, which names Python code, is in no file of the store."""
    _, entry = importing()
    assert not any("auto_map" in path.read_text() for path in entry.glob("*.json"))


def test_a_template_file_wins(importing, published):
    """A template in a file of its own is kept and goes before one in the tokenizer's settings."""
    (published / "chat_template.jinja").write_text("{{ own }}")
    manifest, entry = importing()
    assert manifest.template == "{{ own }}"
    assert (entry / "chat_template.jinja").is_file()


def test_a_named_template_is_found(importing, published):
    """Of several templates the default one is the model's."""
    templates = [{"name": "rag", "template": "{{ r }}"}, {"name": "default", "template": "{{ d }}"}]
    write(published, "tokenizer_config.json", {"chat_template": templates})
    assert importing()[0].template == "{{ d }}"


def test_takes_all_shards(importing, published):
    """Weights in several files are taken by their index."""
    (published / "model.safetensors").unlink()
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for shard in shards:
        save_file({shard[:11]: np.ones(4, np.float16)}, published / shard)
    write(published, "model.safetensors.index.json", {"weight_map": {"a": shards[0], "b": shards[1]}})
    manifest, entry = importing()
    assert manifest.parameter_count == 8
    assert manifest.quantization == "F16"
    assert all((entry / shard).is_file() for shard in shards)


def test_a_sentence_model_embeds(importing, published):
    """A sentence-transformers model keeps its pooling and offers embeddings only."""
    write(published, "config.json", ENCODER)
    write(published, "modules.json", MODULES)
    write(published, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    write(published, "sentence_bert_config.json", {"max_seq_length": 32})
    manifest, entry = importing()
    assert manifest.capabilities == {Capability.EMBEDDING}
    assert manifest.context_length == 32
    assert manifest.template == ""
    assert (entry / "1_Pooling" / "config.json").is_file()
    assert (entry / "modules.json").is_file()


def test_a_bare_encoder_embeds(importing, published):
    """A BERT-like model without further files offers embeddings only."""
    write(published, "config.json", ENCODER)
    assert importing()[0].capabilities == {Capability.EMBEDDING}


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (open, ("canary", "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_refuses_pickled_weights(importing, published, name):
    """Weights that can run code are refused under every name and never opened."""
    (published / "model.safetensors").unlink()
    (published / "training_args.bin").unlink()
    (published / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(PullError, match="only pickled weights, which can run code") as caught:
        importing()
    assert "safetensors" in caught.value.hint


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "expected an object"),
        (lambda folder: (folder / "config.json").write_text("[" * 10**6), "config.json cannot be read"),
        (lambda folder: write(folder, "config.json", {**DECODER, "model_type": 3}), "model_type 3"),
        (
            lambda folder: write(folder, "config.json", {**DECODER, "architectures": ["CLIPModel"]}),
            "models of class CLIPModel neither generate nor embed",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(bytes(64)), "not a usable safetensors"),
        (
            lambda folder: write(
                folder, "model.safetensors.index.json", {"weight_map": {"a": "../x.safetensors"}}
            ),
            "impossible",
        ),
        (
            lambda folder: write(folder, "model.safetensors.index.json", {"weight_map": {}}),
            "no files of weights",
        ),
        (lambda folder: write(folder, "modules.json", MODULES), "1_Pooling/config.json"),
        (lambda folder: write(folder, "modules.json", [{"type": "evil.Module", "path": "x"}]), "evil"),
        (lambda folder: write(folder, "modules.json", {"a": 1}), "known are Normalize, Pooling, Transformer"),
        (
            lambda folder: write(folder, "modules.json", [{"type": "x.Pooling", "path": "../.."}]),
            "which is not there",
        ),
    ],
)
def test_refuses_broken_folders(importing, published, break_it, complaint):
    """What is missing, damaged or out of bounds is refused by name."""
    break_it(published)
    with pytest.raises(PullError, match=complaint):
        importing()


def test_refuses_an_empty_download(importing, published):
    """A source that left nothing is found out."""
    shutil.rmtree(published)
    published.mkdir()
    with pytest.raises(PullError, match=r"no config\.json"):
        importing()


def test_refuses_two_gguf_files(importing, published):
    """Which of two models is meant cannot be guessed."""
    for name in ("a.gguf", "b.gguf"):
        (published / name).write_bytes(b"GGUF")
    with pytest.raises(PullError, match="2 GGUF files, expected one"):
        importing()

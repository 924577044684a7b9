import numpy as np
import pytest
from tokenizers import Tokenizer

from homeport import Artifact, Capability
from homeport.domain.quantisation import WeightsWish
from homeport.models.conversion.folder_weights import folder_weights
from homeport.models.conversion.importing import convert

pytestmark = pytest.mark.model


def test_describes_the_starter_model(starter):
    """The manifest has what the model was published with."""
    manifest, _ = starter
    assert (manifest.family, manifest.quantization, manifest.license) == ("llama", "Q4_1", "apache-2.0")
    assert (manifest.parameter_count, manifest.context_length) == (134_515_008, 8192)
    assert (manifest.weights, manifest.bits_per_weight) == ("int4", 5.74)
    assert manifest.embedding_length == 576
    assert "<|im_start|>assistant" in manifest.template
    assert manifest.facts["general.basename"] == "smollm2"


@pytest.mark.slow
def test_weights_equal_transformers_own(starter, starter_gguf):
    """Every packed tensor stands for what transformers makes of the same GGUF file, bit by bit."""
    pytest.importorskip("accelerate")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    ours = {
        weight.name: torch.from_numpy(np.array(weight.values()))
        for weight in folder_weights(starter[1], ["model.safetensors"])
    }
    ours["lm_head.weight"] = ours["model.embed_tokens.weight"]  # it is tied
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        starter_gguf.parent, gguf_file=starter_gguf.name, dtype=torch.float32
    ).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_splits_digits(starter):
    """Each digit is a token of its own, as SmolLM2 was trained."""
    tokenizer = Tokenizer.from_file(str(starter[1] / "tokenizer.json"))
    assert tokenizer.encode("In 2024").tokens == ["In", "Ġ", "2", "0", "2", "4"]


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over 13 lazy dogs.",
        "  def f(x):\n\treturn x**2  # тест 東京 naïve\n\n",
        "family 👨‍👩‍👧 flag 🇫🇷 zero\u200bwidth",
        "<|im_start|>user\nhi<|im_end|>",
    ],
)
def test_texts_survive(starter, text):
    """Texts come back from their ids, emoji and special tokens included."""
    tokenizer = Tokenizer.from_file(str(starter[1] / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_special_tokens_are_single(starter):
    """Control tokens written in a text are one id each."""
    tokenizer = Tokenizer.from_file(str(starter[1] / "tokenizer.json"))
    assert tokenizer.encode("<|im_start|><|im_end|>").ids == [1, 2]


def test_takes_over_the_embedding_model(fetched, tmp_path):
    """The embedding model offers embeddings only and keeps its pooling."""
    artifact = Artifact(source="package-index", locator="tests")
    manifest = convert(
        fetched("all-minilm"),
        tmp_path / "entry",
        artifact=artifact,
        wish=WeightsWish(),
        room_bytes=10**10,
        progress=lambda *_: None,
    )
    assert manifest.capabilities == {Capability.EMBEDDING}
    assert (manifest.family, manifest.parameter_count) == ("bert", 22_713_216)
    assert (manifest.context_length, manifest.embedding_length) == (256, 384)
    assert (tmp_path / "entry" / "1_Pooling" / "config.json").is_file()

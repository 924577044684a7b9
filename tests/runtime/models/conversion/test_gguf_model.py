import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from homeport.domain.errors import PullError
from homeport.domain.models import Capability
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.conversion.gguf_model import convert_gguf
from homeport.models.manifest import WeightsFormat

ROOM = 10**9


@pytest.fixture
def converted(write_gguf, tmp_path):
    """Write a GGUF file and convert it; gives the description and the folder."""

    def convert(*args, quantisation=Quantisation.AUTO, **content):
        path = write_gguf(tmp_path / "tiny.gguf", *args, **content)
        folder = tmp_path / "entry"
        folder.mkdir()
        wish = WeightsWish(quantisation)
        return convert_gguf(path, folder, wish=wish, room_bytes=ROOM, progress=lambda *_: None), folder

    return convert


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize(
    ("kind", "own_output"), [("Q4_0", False), ("Q8_0", True), ("F16", True), ("BF16", False)]
)
def test_weights_equal_transformers_own(converted, tmp_path, architecture, kind, own_output):
    """Every tensor equals, bit by bit, what transformers makes of the same GGUF file."""
    pytest.importorskip("accelerate")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    _, folder = converted(architecture, kind=kind, own_output=own_output, quantisation=Quantisation.FP32)
    ours = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="tiny.gguf", dtype=torch.float32, config=ours.config
    )
    assert type(ours) is type(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_describes_the_model(converted):
    """The description has the figures, the licence, the template and the facts of the file."""
    found, _ = converted(
        fields={"general.basename": "tiny", "general.sampling.temp": 0.6, "general.sampling.top_k": 20}
    )
    assert found.converted_from is WeightsFormat.GGUF
    assert (found.quantization, found.family, found.license) == ("Q8_0", "llama", "apache-2.0")
    assert (found.context_length, found.embedding_length) == (128, 64)
    assert found.capabilities == {Capability.COMPLETION}
    assert "message" in found.template
    assert found.parameters == {"temperature": 0.6, "top_k": 20}
    assert found.facts["general.basename"] == "tiny"
    assert found.facts["llama.block_count"] == 2
    assert found.facts["tokenizer.ggml.tokens"] == ()
    assert found.facts["general.parameter_count"] == found.parameter_count
    assert "tokenizer.chat_template" not in found.facts


def test_transformers_reads_the_files(converted):
    """Configuration, tokenizer, template and generation settings load with their own library."""
    _, folder = converted("qwen3")
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.head_dim, config.rms_norm_eps) == ("qwen3", 16, 1e-5)
    assert config.rope_parameters["rope_theta"] == 10_000.0
    assert config.tie_word_embeddings
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [2, 0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")


def test_sixteen_bit_weights_keep_their_bits(converted):
    """Floats of 16 bits are not blown up; the configuration names their format."""
    _, folder = converted(kind="F16")
    weights = load_file(folder / "model.safetensors")
    assert weights["model.embed_tokens.weight"].dtype == np.float16
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"


def test_the_same_file_converts_to_the_same_bytes(gguf_path, tmp_path):
    """Conversion is deterministic, so a digest names a model for good."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        convert_gguf(
            gguf_path, tmp_path / name, wish=WeightsWish(), room_bytes=ROOM, progress=lambda *_: None
        )
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"fields": {"llama.expert_count": 8}}, "expert_count = 8"),
        ({"fields": {"llama.rope.dimension_count": 8}}, "dimension_count = 8"),
        ({"fields": {"llama.attention.value_length": 8}}, "value_length = 8"),
        ({"fields": {"llama.attention.key_length": 15}}, "impossible"),
        ({"tensors": {"blk.1.ffn_up.weight": None}}, "blk.1.ffn_up.weight is missing"),
        ({"tensors": {"blk.1.ffn_norm.weight": np.ones(3, np.float32)}}, r"has shape \(3,\)"),
        (
            {"tensors": {"blk.2.ffn_norm.weight": np.ones(64, np.float32)}},
            "do not have: blk.2.ffn_norm.weight",
        ),
        ({"tensors": {"token_embd.weight": None}}, "no tensor token_embd.weight"),
        ({"tensors": {"token_embd.weight": np.ones((9, 64), np.float32)}}, "263 tokens and 9 rows"),
    ],
)
def test_refuses_what_is_no_such_model(converted, content, complaint):
    """A file whose figures and tensors do not fit together is refused by name, not converted halfway."""
    with pytest.raises(PullError, match=complaint):
        converted(**content)


def test_refuses_other_architectures(converted):
    """The error names the architecture and those that can be converted."""
    with pytest.raises(
        PullError, match="architecture 'gemma3' cannot be converted, only llama, qwen2, qwen3"
    ):
        converted("gemma3")


def test_refuses_to_fill_the_disk(gguf_path, tmp_path):
    """Where the result would not fit nothing is written, and the error has both figures."""
    folder = tmp_path / "entry"
    folder.mkdir()
    with pytest.raises(PullError, match=r"needs 0\.00 GB of disk, 0\.00 GB are left"):
        convert_gguf(gguf_path, folder, wish=WeightsWish(), room_bytes=1000, progress=lambda *_: None)
    assert list(folder.iterdir()) == []

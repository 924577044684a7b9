import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from homeport.domain.errors import PullError
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.gguf_file import GgufFile
from homeport.models.conversion.rope import llama3_divisors, rope_parameters

HEAD = 16


@pytest.fixture
def read(write_gguf, tmp_path):
    """Read the rotary settings of a GGUF file with given fields and tensors."""

    def read_rope(**content):
        file = GgufFile(write_gguf(tmp_path / "tiny.gguf", **content))
        return rope_parameters(Fields(file.fields, "llama."), file, HEAD)

    return read_rope


def test_plain(read):
    """Without scaling only the base is told."""
    assert read() == {"rope_type": "default", "rope_theta": 10_000.0}


def test_linear(read):
    """Linear scaling keeps its factor."""
    fields = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    assert read(fields=fields) == {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama3(read, factor):
    """Llama 3's scaling is recognised by its divisors, and transformers computes the same from it."""
    divisors = llama3_divisors(HEAD, 10_000.0, factor).astype(np.float32)
    found = read(tensors={"rope_freqs.weight": divisors})
    assert found["rope_type"] == "llama3"
    assert found["factor"] == factor
    config = LlamaConfig(head_dim=HEAD, hidden_size=64, num_attention_heads=4, rope_parameters=found)
    theirs = LlamaRotaryEmbedding(config).inv_freq
    ours = 1 / (10_000.0 ** (torch.arange(0, HEAD, 2) / HEAD)) / torch.from_numpy(divisors)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "content",
    [
        {"fields": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}},
        {"tensors": {"rope_freqs.weight": np.linspace(1, 8, HEAD // 2, dtype=np.float32)}},
        {"tensors": {"rope_freqs.weight": np.full(HEAD // 2, np.nan, np.float32)}},
        {"tensors": {"rope_freqs.weight": np.ones(HEAD, np.float32)}},
    ],
)
def test_refuses_what_it_cannot_tell(read, content):
    """Another scaling would give other answers, so it is an error."""
    with pytest.raises(PullError):
        read(**content)

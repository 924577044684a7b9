"""Rotary frequencies are those that transformers derives from the same config.json."""

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from homeport import LoadError
from homeport_transformers.rotary import Rope, interleave_halves, rotate

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SETTINGS = {
    "nothing": {},
    "base": {"rope_theta": 100000.0},
    "base inside": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
    "old spelling": {"rope_scaling": {"type": "linear", "factor": 2.5}, "rope_theta": 1e6},
    "llama 3": {"rope_parameters": LLAMA3 | {"rope_theta": 500000.0}},
    "llama 3, old spelling": {"rope_scaling": LLAMA3, "rope_theta": 500000.0},
    "llama 3, length elsewhere": {
        "rope_scaling": {key: LLAMA3[key] for key in list(LLAMA3)[:-1]},
        "max_position_embeddings": 1024,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_frequencies_equal_those_of_transformers(settings):
    """Each way to write the settings down gives transformers' frequencies."""
    config = {"model_type": "llama", "max_position_embeddings": 2048, "head_dim": 64} | settings

    reference = LlamaRotaryEmbedding(LlamaConfig.from_dict(dict(config)))

    torch.testing.assert_close(Rope.read(config).frequencies(64), reference.inv_freq, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_paired_heads_rotate_as_halves_do(dtype, tolerance):
    """Rotating reordered components gives transformers' rotation, reordered."""
    head_dim, rope = 8, Rope(theta=100.0)
    states = torch.randn(5, 3 * head_dim, generator=torch.Generator().manual_seed(1)).to(dtype)
    angles = torch.outer(torch.arange(5.0), rope.frequencies(head_dim)).repeat(1, 2)
    heads = states.view(5, 3, head_dim).transpose(0, 1)
    expected, _ = apply_rotary_pos_emb(
        heads.float(), heads.float(), angles.cos(), angles.sin(), unsqueeze_dim=0
    )

    paired = interleave_halves(states.T, head_dim).T.contiguous().view(5, 3, head_dim)
    rotate(paired, rope.rotations(head_dim, 5).unsqueeze(1))

    flat = expected.transpose(0, 1).flatten(1)
    expected_pairs = interleave_halves(flat.T, head_dim).T.view(5, 3, head_dim)
    torch.testing.assert_close(paired.float(), expected_pairs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("key", "value"),
    [("factor", 0), ("factor", None), ("factor", "8"), ("low_freq_factor", 4.0), ("rope_theta", -1.0)],
)
def test_impossible_settings_are_refused(key, value):
    """A number that is missing, of another type or out of range is named with its value."""
    config = {"rope_scaling": {**LLAMA3, "rope_theta": 1e4, key: value}}

    with pytest.raises(LoadError, match=f"rope {key} is {value!r}"):
        Rope.read(config)

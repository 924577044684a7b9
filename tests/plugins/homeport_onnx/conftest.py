"""Small random models in Hugging Face layout, written without torch, and what the builder makes of them."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from homeport import BuildPlan, Quantisation
from homeport.checkpoint import EncoderShape, EncoderTensors
from homeport_onnx.builder import OnnxBuilder
from homeport_onnx.config import OnnxConfig

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def llama_tensors(config, seed=7):
    """Draw weights that make each part matter: fresh models have flat norms."""
    random = np.random.default_rng(seed)
    hidden, mlp, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = (config[f"num_{kind}_heads"] * head for kind in ("attention", "key_value"))
    shapes = {
        "model.embed_tokens": (config["vocab_size"], hidden),
        "model.norm": (hidden,),
        "lm_head": (config["vocab_size"], hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.input_layernorm": (hidden,),
            f"{prefix}.post_attention_layernorm": (hidden,),
            f"{prefix}.self_attn.q_proj": (queries, hidden),
            f"{prefix}.self_attn.k_proj": (keys, hidden),
            f"{prefix}.self_attn.v_proj": (keys, hidden),
            f"{prefix}.self_attn.o_proj": (hidden, queries),
            f"{prefix}.mlp.gate_proj": (mlp, hidden),
            f"{prefix}.mlp.up_proj": (mlp, hidden),
            f"{prefix}.mlp.down_proj": (hidden, mlp),
        }
    return {
        f"{name}.weight": (float("norm" in name) + 0.2 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def build_into(folder, source, *, settings=None, progress=lambda _done, _all: None, **plan):
    """Build a stored model into an empty folder, and give the report."""
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    builder = OnnxBuilder(OnnxConfig(**{"spin_microseconds": 0, **(settings or {})}))
    return builder.build(source, folder, BuildPlan(**plan), progress)


@pytest.fixture(scope="session")
def save_llama(tmp_path_factory):
    """Write a random Llama of a configuration and give its folder."""

    def save(**changes):
        config = LLAMA | changes
        folder = tmp_path_factory.mktemp("source")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(llama_tensors(config), folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return save


@pytest.fixture(scope="session")
def build_llama(save_llama, tmp_path_factory):
    """Build a random Llama and give the folder that the backend loads."""

    def build(*, settings=None, quantisation=Quantisation.AUTO, is_portable=False, **changes):
        built = tmp_path_factory.mktemp("built")
        plan = {"quantisation": quantisation, "is_portable": is_portable}
        build_into(built, save_llama(**changes), settings=settings, **plan)
        return built

    return build


@pytest.fixture
def build(tmp_path):
    """Build a stored model into ``tmp_path / "built"``, and give the report."""

    def run(source, **how):
        folder = tmp_path / "built"
        folder.mkdir()
        return build_into(folder, source, **how)

    return run


ENCODER_SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


@pytest.fixture(scope="session")
def save_encoder(tmp_path_factory):
    """Write a random encoder of a configuration, a BERT unless it says otherwise, and give its folder."""

    def save(**changes):
        config = ENCODER_SIZES | {"model_type": "bert"} | changes
        random = np.random.default_rng(7)
        parts = EncoderTensors(shape=EncoderShape.read(config)).parts
        tensors = {
            part.name: (float("Norm.weight" in part.name) + 0.2 * random.standard_normal(part.shape)).astype(
                np.float32
            )
            for part in parts
        }
        folder = tmp_path_factory.mktemp("encoder")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return save


@pytest.fixture(scope="session")
def build_encoder(save_encoder, tmp_path_factory):
    """Build a random encoder and give the folder that the backend loads."""

    def build(**changes):
        built = tmp_path_factory.mktemp("built-encoder")
        build_into(built, save_encoder(**changes))
        return built

    return build

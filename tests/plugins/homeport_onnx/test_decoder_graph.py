"""Graphs of every family compute what its stored weights say, in whatever steps."""

import json

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from homeport import BuildPlan, LoadPlan, TokenBatch, TokenRow
from homeport.checkpoint import FAMILIES, Checkpoint, DecoderShape, DecoderTensors
from homeport.weights import PackedMatrix, PlainCodes, WeightKind, stored_parts, write_metadata
from homeport_onnx.builder import OnnxBuilder
from homeport_onnx.config import OnnxConfig
from homeport_onnx.model import OnnxModel
from homeport_onnx.reference import reference_logits

TOLERANCE = 1e-4
"""Of the largest logit."""
WINDOW = 5
CONTEXT = 64
GROUP = 32
"""Columns of a packed matrix that share a scale."""
LENGTHS = (40, 23, 12)
"""Of sequences that share steps."""
STEPS = (
    {0: 11, 1: 4},
    {2: 1, 0: 7, 1: 1},
    {2: 5, 1: 1, 0: 1},
    *({0: 1, 1: 1, 2: 1},) * 3,
    {0: 18, 1: 14, 2: 3},
)
"""Tokens that each gets, step by step."""

SIZES = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "rms_norm_eps": 0.01,
    "rope_theta": 500.0,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FIRST = {"original_max_position_embeddings": 32}
LLAMA = SIZES | {"model_type": "llama"}
QWEN = SIZES | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
GEMMA = SIZES | {"hidden_activation": "gelu_pytorch_tanh", "hidden_act": "gelu_pytorch_tanh"}
GEMMA_2 = GEMMA | {"model_type": "gemma2", "query_pre_attn_scalar": 24, "sliding_window": WINDOW}
GEMMA_3 = GEMMA | {"model_type": "gemma3_text", "query_pre_attn_scalar": 24, "sliding_window": WINDOW}
PHI = SIZES | {"model_type": "phi3", "sliding_window": WINDOW}
BOTH_BIASES = {"attention_bias": True, "mlp_bias": True}
CAPS = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 8.0}
NO_CAPS = {"attn_logit_softcapping": None, "final_logit_softcapping": None}


def rope(kind, **settings):
    return {"rope_scaling": {"rope_type": kind, "rope_theta": 500.0, **settings}}


def longrope(original, pairs=8):
    factors = {
        "short_factor": [1.0 + 0.1 * pair for pair in range(pairs)],
        "long_factor": [1.5 + 0.4 * pair for pair in range(pairs)],
    }
    return rope("longrope", **factors) | {"original_max_position_embeddings": original}


CONFIGS = {
    "llama": LLAMA,
    "llama, a key head per head": LLAMA | {"num_key_value_heads": 4},
    "llama, heads of 18": LLAMA | {"head_dim": 18},
    "llama, tied": LLAMA | {"tie_word_embeddings": True},
    "llama, biases": LLAMA | BOTH_BIASES,
    "llama, biases and heads of 20": LLAMA | BOTH_BIASES | {"head_dim": 20},
    "llama, linear rope": LLAMA | rope("linear", factor=3.0),
    "llama, llama3 rope": LLAMA
    | rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **FIRST),
    "llama, yarn rope": LLAMA | rope("yarn", factor=4.0, mscale=1.2, mscale_all_dim=0.7, **FIRST),
    "llama, dynamic rope": LLAMA | rope("dynamic", factor=2.0),
    "smollm3": SIZES | {"model_type": "smollm3", "no_rope_layer_interval": 2},
    "smollm3, windows": SIZES
    | {"model_type": "smollm3", "no_rope_layers": [0, 1, 0], "use_sliding_window": True, "sliding_window": 5},
    "mistral": SIZES | {"model_type": "mistral", "sliding_window": None},
    "mistral, windows": SIZES | {"model_type": "mistral", "sliding_window": WINDOW},
    "qwen2": QWEN | {"model_type": "qwen2"},
    "qwen3": QWEN | {"model_type": "qwen3", "tie_word_embeddings": True},
    "qwen3, biases and heads of 24": QWEN | {"model_type": "qwen3", "attention_bias": True, "head_dim": 24},
    "gemma": GEMMA | {"model_type": "gemma", "tie_word_embeddings": True},
    "gemma2": GEMMA_2 | CAPS,
    "gemma2, without caps": GEMMA_2 | NO_CAPS,
    "gemma3": GEMMA_3
    | rope("linear", factor=8.0)
    | {"rope_local_base_freq": 100.0, "sliding_window_pattern": 3},
    "gemma3, a cap": GEMMA_3 | {"final_logit_softcapping": 8.0, "sliding_window_pattern": 2},
    "phi3": PHI | rope("default"),
    "phi3, partial rope": PHI | {"head_dim": None, **rope("default"), "partial_rotary_factor": 0.75},
    "phi3, short longrope": PHI | longrope(original=CONTEXT),
    "phi3, long longrope": PHI | longrope(original=32),
}


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    """Write a random model of a configuration whose every part matters, and give its folder."""

    def write(config):
        config = {key: value for key, value in config.items() if (key, value) != ("head_dim", None)}
        tensors = DecoderTensors(DecoderShape.read(config))
        layers = [tensors.layer(index) for index in range(config["num_hidden_layers"])]
        parts = [
            tensors.embedding,
            tensors.norm,
            tensors.head,
            *(part for layer in layers for part in layer.parts),
        ]
        random = np.random.default_rng(7)
        stored = {
            name: (float("norm" in name) + 0.2 * random.standard_normal(shape)).astype(np.float32)
            for name, shape in {part.name: part.shape for part in parts}.items()
        }
        folder = tmp_path_factory.mktemp("source")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return write


@pytest.fixture(scope="module")
def build(save, tmp_path_factory):
    """Build a random model of a configuration; give its source and the build."""

    def make(config, prepare=lambda _: None, settings=None, **plan):
        source, into = save(config), tmp_path_factory.mktemp("built")
        prepare(source)
        (into / "config.json").write_bytes((source / "config.json").read_bytes())
        builder = OnnxBuilder(OnnxConfig(spin_microseconds=0, **(settings or {})))
        builder.build(source, into, BuildPlan(**plan), lambda *_: None)
        return source, into

    return make


@pytest.fixture(scope="module", params=CONFIGS)
def variant(request, build):
    """Source and build of each variant."""
    return build(CONFIGS[request.param])


def pack_with_minima(folder):
    """Put matrices of 4 bits, whose blocks have minima far from whole codes, in the place of a model's."""
    random = np.random.default_rng(9)
    tensors, rows = {}, {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if tensor.ndim == 1 or tensor.shape[1] % GROUP:
            tensors[name] = tensor
            continue
        scales = random.uniform(0.005, 0.04, (len(tensor), tensor.shape[1] // GROUP)).astype(np.float16)
        mins = (scales * random.uniform(-12, -3, scales.shape)).astype(np.float16)
        codes = random.integers(0, 16, tensor.shape).astype(np.uint8)
        plain = PlainCodes(codes=codes, scales=scales, mins=mins)
        tensors |= stored_parts(name, PackedMatrix.pack(WeightKind.Q4_MIN, plain))
        rows[name] = len(tensor)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", **write_metadata(rows)})


def draw():
    random = np.random.default_rng(5)
    return [random.integers(0, SIZES["vocab_size"], max(LENGTHS)).tolist() for _ in LENGTHS]


def in_steps(built, sequences):
    """Logits behind every token, computed in steps of several rows."""
    model = OnnxModel(OnnxConfig(spin_microseconds=0))
    model.load(built, LoadPlan(context_length=CONTEXT, slots=len(sequences), threads=1))
    done, found = dict.fromkeys(range(len(sequences)), 0), [[] for _ in sequences]
    for step in STEPS:
        rows = []
        for slot, count in step.items():
            rows.append(TokenRow(slot, done[slot], sequences[slot][done[slot] : done[slot] + count], count))
            done[slot] += count
        logits = model.forward(TokenBatch(tuple(rows)))
        for row, part in zip(rows, np.split(logits, np.cumsum(list(step.values()))[:-1]), strict=True):
            found[row.slot].append(part)
    assert tuple(done.values()) == LENGTHS
    return [np.concatenate(parts) for parts in found]


def worst_share(found, expected):
    return max(
        np.abs(own - whole[: len(own)]).max() / np.abs(whole).max()
        for own, whole in zip(found, expected, strict=True)
    )


def test_every_variant_agrees_with_the_reference(variant):
    """Prompts in pieces, single tokens, and both in one step."""
    source, built = variant
    sequences = draw()

    found = in_steps(built, sequences)

    expected = reference_logits(Checkpoint.read(source), sequences, length=CONTEXT)
    assert worst_share(found, expected) <= TOLERANCE


@pytest.mark.parametrize(
    "name",
    ["llama, tied", "llama, biases and heads of 20", "qwen3, biases and heads of 24", "gemma2", "phi3"],
)
@pytest.mark.parametrize("is_portable", [False, True])
def test_minima_of_packed_weights_count_wherever_a_matrix_stands(build, name, is_portable):
    """Beside biases, in heads that are padded, in matrices that hold several, in embeddings that are tied."""
    exact = {"activations": "fp32"}
    source, built = build(CONFIGS[name], pack_with_minima, exact, is_portable=is_portable)
    sequences = draw()

    found = in_steps(built, sequences)

    expected = reference_logits(Checkpoint.read(source), sequences, length=CONTEXT)
    assert worst_share(found, expected) <= TOLERANCE


def test_every_variant_agrees_with_transformers(variant):
    """The same against the modelling code that the families are named after."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    transformers.logging.disable_progress_bar()
    source, built = variant
    sequences = draw()

    found = in_steps(built, sequences)

    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = [model(torch.tensor([ids])).logits[0].numpy() for ids in sequences]
    assert worst_share(found, expected) <= TOLERANCE


def test_every_family_has_a_variant():
    assert {config["model_type"] for config in CONFIGS.values()} == set(FAMILIES)


@pytest.mark.parametrize(("quant", "stored"), [("fp32", 1), ("int8", 2)])
def test_a_tied_embedding_is_stored_once(build, quant, stored):
    """Embedding and output matrix are views of the same bytes."""
    config = {**LLAMA, "tie_word_embeddings": True, "vocab_size": 1024}
    _, built = build(config, quantisation=quant)

    places = {}
    for tensor in onnx.load(built / "model.onnx", load_external_data=False).graph.initializer:
        if tensor.name.startswith(("model.embed_tokens", "lm_head")):
            places.setdefault(tensor.external_data[1].value, []).append(tensor.name)
    assert len(places) == stored
    assert {len(names) for names in places.values()} == ({1} if quant == "fp32" else {1, 2})


def test_a_layer_takes_twelve_nodes(build):
    """What a small model's speed hangs on: norms are fused with sums, one product makes all heads, and one
    gate and up.
    """
    layers = []
    for count in (2, 3):
        _, built = build(LLAMA | {"num_hidden_layers": count})
        layers.append(len(onnx.load(built / "model.onnx", load_external_data=False).graph.node))

    assert layers[1] - layers[0] == 12

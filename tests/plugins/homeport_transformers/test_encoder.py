"""Embeddings are those that the model's files describe."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, BertConfig, MPNetConfig, RobertaConfig

from homeport import (
    LoadPlan,
)
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel

BERT = BertConfig(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)
INPUTS = [[5, 9, 2], [71] * 20, [33], [8, 64, 1, 90, 17, 4], [2, 3, 4]]
NORMALIZE = {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}
MODES = {
    "cls_token": lambda states: states[0],
    "max_tokens": lambda states: states.max(0),
    "mean_tokens": lambda states: states.mean(0),
    "mean_sqrt_len_tokens": lambda states: states.sum(0) / np.sqrt(len(states)),
    "lasttoken": lambda states: states[-1],
}


def load(path, *, context_length=4096, dtype="auto"):
    model = TransformersModel(TransformersConfig(dtype=dtype))
    return model, model.load(path, LoadPlan(context_length=context_length, slots=4, threads=1))


def write_modules(path, *modes, further=(), limit=None):
    pooling = {f"pooling_mode_{mode}": mode in modes for mode in MODES}
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **pooling}))
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        *further,
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    if limit is not None:
        (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))


def states(reference, ids):
    with torch.inference_mode():
        return reference(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()


@pytest.fixture
def bert(save):
    return save(BERT, AutoModel)


@pytest.mark.parametrize("mode", MODES)
def test_tokens_are_pooled_as_the_files_say(bert, tmp_path, mode):
    """Each pooling of a padded batch equals that of each text alone, in the order of the inputs."""
    write_modules(tmp_path, mode)
    model, facts = load(tmp_path)

    vectors = model.embed(INPUTS)

    expected = np.stack([MODES[mode](states(bert, ids)) for ids in INPUTS])
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)
    assert vectors.dtype == np.float32
    assert facts.embedding_length == 32


def test_several_poolings_follow_one_another(bert, tmp_path):
    """Two modes make a vector of twice the length, in sentence-transformers' order."""
    write_modules(tmp_path, "mean_tokens", "cls_token")
    model, facts = load(tmp_path)

    [vector] = model.embed([INPUTS[0]])

    token_states = states(bert, INPUTS[0])
    np.testing.assert_allclose(vector, np.concatenate([token_states[0], token_states.mean(0)]), atol=1e-5)
    assert facts.embedding_length == 64


def test_vectors_are_normalised_when_the_files_list_it(bert, tmp_path):
    """With a Normalize module each vector has length 1."""
    write_modules(tmp_path, "mean_tokens", further=[NORMALIZE])
    model, _ = load(tmp_path)

    np.testing.assert_allclose(np.linalg.norm(model.embed(INPUTS), axis=1), 1.0, atol=1e-6)


def test_a_bare_encoder_averages_its_tokens(bert, tmp_path):
    """Without modules.json tokens are averaged and the vector keeps its length."""
    model, _ = load(tmp_path)

    np.testing.assert_allclose(model.embed([INPUTS[3]])[0], states(bert, INPUTS[3]).mean(0), atol=1e-5)


def test_a_masked_language_model_embeds(save, tmp_path):
    """A checkpoint with another head, and without a pooler, serves as encoder."""
    reference = save(BERT, AutoModelForMaskedLM)
    model, facts = load(tmp_path)

    np.testing.assert_allclose(
        model.embed([INPUTS[3]])[0], states(reference.base_model, INPUTS[3]).mean(0), atol=1e-5
    )
    assert not facts.generates


def test_many_inputs_are_split_into_passes(bert, tmp_path):
    """More tokens than one pass takes come back whole and in order."""
    model, _ = load(tmp_path)
    inputs = [[1 + place % 90] * (1 + place % 50) for place in range(150)]

    vectors = model.embed(inputs)

    for place in (0, 49, 50, 149):
        np.testing.assert_allclose(vectors[place], states(bert, inputs[place]).mean(0), atol=1e-4)


def test_no_inputs_give_no_vectors(bert, tmp_path):
    """An empty request is answered with the width of a vector."""
    assert load(tmp_path)[0].embed([]).shape == (0, 32)


@pytest.mark.parametrize(("limit", "window"), [(16, 16), (500, 64), (None, 64)])
def test_the_window_is_the_smaller_limit(bert, tmp_path, limit, window):
    """Neither the files' limit nor the table of positions is exceeded, whatever the plan."""
    write_modules(tmp_path, "mean_tokens", limit=limit)

    assert load(tmp_path)[1].context_length == window


@pytest.mark.parametrize(
    ("config", "window"),
    [(RobertaConfig, 64 - 2), (MPNetConfig, 64 - 2)],
    ids=["roberta", "mpnet"],
)
def test_positions_up_to_the_padding_id_hold_no_token(save, tmp_path, config, window):
    """A RoBERTa reads as many tokens as it has positions behind its padding id, and no more."""
    sizes = {key: getattr(BERT, key) for key in ("vocab_size", "hidden_size", "intermediate_size")}
    reference = save(
        config(
            **sizes, num_hidden_layers=1, num_attention_heads=4, max_position_embeddings=64, pad_token_id=1
        ),
        AutoModel,
    )
    model, facts = load(tmp_path)
    ids = [5 + place % 80 for place in range(window)]

    assert facts.context_length == window
    [_, vector] = model.embed([[7, 8], ids])
    np.testing.assert_allclose(vector, states(reference, ids).mean(0), atol=1e-5)


def test_bf16_stays_close_to_fp32(bert, tmp_path):
    """Computed in bf16, a vector keeps its direction."""
    write_modules(tmp_path, "mean_tokens", further=[NORMALIZE])
    loaded = [load(tmp_path, dtype=dtype) for dtype in ("fp32", "bf16")]
    exact, rounded = (model.embed(INPUTS) for model, _ in loaded)

    assert (exact * rounded).sum(1).min() > 0.999
    assert [facts.computes for _, facts in loaded] == ["fp32, transformers", "bf16, transformers"]

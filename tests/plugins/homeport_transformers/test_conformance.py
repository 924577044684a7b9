"""Each way to compute a model keeps the contract of every local backend."""

import pytest
from transformers import AutoModel, BertConfig, GPTNeoXConfig, LlamaConfig

from homeport.testing.token_model_conformance import TokenModelConformance
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


class TransformersConformance(TokenModelConformance):
    """The kit around one random model."""

    def make_model(self):
        return TransformersModel(TransformersConfig())


class TestLean(TransformersConformance):
    """A Llama goes through homeport's own forward pass."""

    @pytest.fixture
    def model_path(self, save, tmp_path):
        save(LlamaConfig(**SIZES, num_key_value_heads=2))
        return tmp_path


class TestGeneric(TransformersConformance):
    """Other decoders go through transformers."""

    @pytest.fixture
    def model_path(self, save, tmp_path):
        save(GPTNeoXConfig(**SIZES))
        return tmp_path


class TestEncoder(TransformersConformance):
    """An encoder embeds and generates nothing."""

    @pytest.fixture
    def model_path(self, save, tmp_path):
        save(BertConfig(**SIZES), AutoModel)
        return tmp_path

from datetime import UTC, datetime

import pytest

from homeport.domain.models import Capability, ModelInfo
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName
from homeport.models.resolution import expected_model, find_pair, memory_need

GIB = 1024**3


@pytest.fixture(scope="module")
def table():
    """The table that homeport ships."""
    return AliasTable.load()


def installed(family, count, *, context=4096, **facts):
    return ModelInfo(
        name="x:latest",
        digest="ab" * 32,
        backend="",
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        family=family,
        parameter_count=count,
        context_length=context,
        facts={f"{family}.{name}": value for name, value in facts.items()},
    )


def pair(table, name, model=None):
    return find_pair(table, ModelName.parse(name), model)


def test_a_name_of_the_table_has_its_pair(table):
    """Pair, confidence and what they rest on."""
    found = pair(table, "TinyLlama")
    assert (found.name.display, found.hub, found.confidence) == (
        "tinyllama:1.1b", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "high",
    )  # fmt: skip
    assert "not compared" in found.evidence[1]
    assert "on 2026-11-21" in pair(table, "smollm2").evidence[1]


def test_a_repository_is_itself(table):
    """A hub name that the table does not know is taken by its word, not for anything else."""
    found = pair(table, "someone/thing")
    assert (found.hub, found.confidence, found.alias) == ("someone/thing", "exact", None)


def test_a_model_of_ones_own_is_itself(table):
    """What is here needs no row."""
    assert pair(table, "mine", installed("llama", 1)).hub == ""


@pytest.mark.parametrize("name", ["tinylama", "llama3:70b", "opus", "smollm2:3b"])
def test_nothing_is_guessed(table, name):
    """A name that is nearly right means nothing."""
    assert pair(table, name) is None


def test_a_model_that_agrees_is_evidence(table):
    """What is installed under the name is held against the row."""
    found = pair(table, "tinyllama", installed("llama", 1_100_048_384, block_count=22))
    assert not found.conflict
    assert found.evidence[2].endswith("which agrees")


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("tinyllama", installed("llama", 6_700_000_000), "6700000000 parameters instead of 1100048384"),
        ("qwen3:8b", installed("qwen2", 8_200_000_000), "architecture 'qwen2' instead of 'qwen3'"),
        ("llama2", installed("llama", 6_700_000_000, block_count=40), "40 layers instead of 32"),
    ],
)
def test_a_model_that_contradicts_the_pair_stops_it(table, name, model, said):
    """A fingerprint that does not match is reported, not passed over."""
    assert said in pair(table, name, model).conflict


@pytest.mark.parametrize(
    ("name", "model", "hub"),
    [
        ("deepseek-r1:8b", installed("llama", 8_030_000_000), "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
        ("deepseek-r1:8b", installed("qwen3", 8_190_000_000), "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"),
        ("phi3", installed("phi3", 3_800_000_000, context=131072), "microsoft/Phi-3-mini-128k-instruct"),
        ("phi3", installed("phi3", 3_800_000_000, context=4096), "microsoft/Phi-3-mini-4k-instruct"),
    ],
)
def test_a_tag_that_moved_is_told_by_the_model_that_is_here(table, name, model, hub):
    """Architecture and window decide between two repositories."""
    found = pair(table, name, model)
    assert (found.hub, found.conflict) == (hub, "")


@pytest.mark.parametrize(
    ("name", "weights", "least", "most"),
    [
        ("tinyllama", "int4", 0.55, 0.75),
        ("qwen3:8b", "int4", 4.4, 5.2),
        ("smollm2:360m", "int8", 0.33, 0.4),
        ("all-minilm", "fp32", 0.08, 0.09),
    ],
)
def test_the_size_of_what_is_not_here_is_predicted(table, name, weights, least, most):
    """Weights are packed by their number, as a pull does it."""
    model = expected_model(table.find(ModelName.parse(name)))
    assert model.weights == weights
    assert least * GIB < model.size_bytes < most * GIB


def test_memory_is_weights_keys_and_values_and_a_program(table):
    """TinyLlama: 22 layers x 2 x 4 heads x 64 numbers x 2 bytes a token, for no more tokens than it has."""
    model = expected_model(table.find(ModelName.parse("tinyllama")))
    assert memory_need(model, 4096).window == 2048
    assert memory_need(model, 1000).cache_bytes == 22 * 2 * 4 * 64 * 2 * 1000
    need = memory_need(model, 1000)
    assert need.total_bytes == model.size_bytes + need.cache_bytes + need.program_bytes


def test_an_encoder_keeps_no_keys(table):
    """An embedding model takes its weights and a program."""
    model = expected_model(table.find(ModelName.parse("all-minilm")))
    assert model.capabilities == {Capability.EMBEDDING}
    assert memory_need(model, 4096).cache_bytes == 0


def test_what_is_unknown_stays_unknown():
    """A model that tells nothing of its shape has no figure for keys and values."""
    need = memory_need(installed("odd", 0), 4096)
    assert need.cache_bytes is None
    assert need.total_bytes == need.program_bytes


def test_every_row_tells_its_shape(table):
    """Each built-in row has a fingerprint, so that its memory is known before a pull."""
    assert all(alias.fingerprint is not None for alias in table._by_name.values())

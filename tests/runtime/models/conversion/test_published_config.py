import pytest

from homeport.models.conversion.published_config import describe_config

NAMES = {
    "llama": {"num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2},
    "gpt2": {"n_layer": 4, "n_head": 8},
    "mpt": {"n_layers": 4, "n_heads": 8},
    "gpt_neo": {"num_layers": 4, "num_heads": 8},
}


def facts(family, **config):
    published = {"model_type": family, "architectures": ["AnyForCausalLM"], **config}
    return describe_config(published, {"F32": 1}, is_sentence_model=False).facts


@pytest.mark.parametrize("family", NAMES)
def test_each_family_calls_its_layers_and_heads_otherwise(family):
    """Four layers and eight heads are found under the names of each."""
    found = facts(family, **NAMES[family])
    assert found[f"{family}.block_count"] == 4
    assert found[f"{family}.attention.head_count"] == 8


def test_length_of_a_head_is_kept_where_it_is_told():
    """It need not be the width by the number of heads."""
    assert facts("qwen3", head_dim=128)["qwen3.attention.key_length"] == 128


def test_queries_that_share_one_key_head_are_counted_so():
    """Falcon of the first kind has one key head, whatever the figure beside it says."""
    assert facts("falcon", multi_query=True, num_kv_heads=71)["falcon.attention.head_count_kv"] == 1
    newer = facts("falcon", multi_query=True, new_decoder_architecture=True)
    assert "falcon.attention.head_count_kv" not in newer

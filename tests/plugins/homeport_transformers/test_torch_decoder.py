"""The lean forward pass gives the same logits however rows, prompts and single tokens are batched."""

import numpy as np
import pytest
from transformers import LlamaConfig

from homeport import TokenRow

TOLERANCE = 1e-4
SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def agree(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.fixture
def llama(pair):
    return pair(LlamaConfig(**SIZES), isa="torch")


@pytest.mark.parametrize("length", [1, 2, 64])
def test_one_prompt_gives_the_logits_of_its_last_token(llama, length):
    """A prompt of any length up to the window is computed."""
    ids = llama.tokens(length)

    agree(llama.forward(TokenRow(3, 0, ids, 1)), llama.expected(ids))


@pytest.mark.parametrize("cuts", [(1,), (5, 6, 7), (8, 16), (19,)], ids=str)
def test_a_prompt_in_chunks_equals_the_whole(llama, cuts):
    """Where a prompt is cut does not change its logits, and chunks before the last return none."""
    ids = llama.tokens(20)
    starts = (0, *cuts)

    for start, end in zip(starts, cuts, strict=False):
        assert llama.forward(TokenRow(0, start, ids[start:end], 0)).shape == (0, 97)

    agree(llama.forward(TokenRow(0, cuts[-1], ids[cuts[-1] :], 1)), llama.expected(ids))


def test_tokens_after_a_prompt_see_it(llama):
    """Each decoded token gives the logits of the whole sequence so far."""
    ids = llama.tokens(24)
    llama.forward(TokenRow(0, 0, ids[:12], 0))

    for place in range(12, 24):
        logits = llama.forward(TokenRow(0, place, ids[place : place + 1], 1))
        agree(logits, llama.expected(ids[: place + 1]))


@pytest.mark.parametrize(
    ("slots", "lengths"),
    [
        ((0, 1, 2, 3), (5, 5, 5, 5)),
        ((0, 1, 2, 3), (3, 17, 1, 30)),
        ((3, 0, 2), (4, 9, 6)),
        ((2, 0), (1, 1)),
    ],
    ids=["equal lengths", "ragged lengths", "a gap, out of order", "first tokens"],
)
def test_single_tokens_of_many_rows_stay_apart(llama, slots, lengths):
    """Rows that add one token each see their own slot only, whatever their order and lengths."""
    sequences = [llama.tokens(length, seed=slot) for slot, length in zip(slots, lengths, strict=True)]
    for slot, ids in zip(slots, sequences, strict=True):
        if ids[:-1]:
            llama.forward(TokenRow(slot, 0, ids[:-1], 0))

    rows = [TokenRow(slot, len(ids) - 1, ids[-1:], 1) for slot, ids in zip(slots, sequences, strict=True)]

    agree(llama.forward(*rows), llama.expected(*sequences))


def test_rows_of_very_different_lengths_stay_right(pair):
    """A run of neighbouring rows that padding would swell is split without changing its logits."""
    llama = pair(
        LlamaConfig(**SIZES | {"max_position_embeddings": 1024}), slots=3, context_length=1024, isa="torch"
    )
    sequences = [llama.tokens(2, seed=1), llama.tokens(900, seed=2), llama.tokens(3, seed=3)]
    for slot, ids in enumerate(sequences):
        llama.forward(TokenRow(slot, 0, ids[:-1], 0))

    rows = [TokenRow(slot, len(ids) - 1, ids[-1:], 1) for slot, ids in enumerate(sequences)]

    agree(llama.forward(*rows), llama.expected(*sequences))


def test_prompts_and_single_tokens_share_a_batch(llama):
    """Logits come in the order of the rows that want them."""
    old, whole, chunked = llama.tokens(9, 1), llama.tokens(11, 2), llama.tokens(14, 3)
    llama.forward(TokenRow(1, 0, old[:8], 0), TokenRow(0, 0, chunked[:6], 0))

    logits = llama.forward(
        TokenRow(2, 0, whole, 1),
        TokenRow(1, 8, old[8:], 1),
        TokenRow(3, 0, [1, 2, 3], 0),
        TokenRow(0, 6, chunked[6:], 1),
    )

    agree(logits, llama.expected(whole, old, chunked))


def test_a_batch_without_rows_has_no_logits(llama):
    """No rows, no logits, and still the width of the vocabulary."""
    assert llama.forward().shape == (0, 97)


def test_a_slot_begins_anew(llama):
    """What a longer sequence left behind in a slot does not reach a shorter one."""
    llama.forward(TokenRow(0, 0, llama.tokens(50, 1), 0))
    ids = llama.tokens(7, 2)
    llama.forward(TokenRow(0, 0, ids[:6], 0), TokenRow(1, 0, llama.tokens(30), 0))

    logits = llama.forward(TokenRow(0, 6, ids[6:], 1), TokenRow(1, 30, [3], 1))

    agree(logits, llama.expected(ids, [*llama.tokens(30), 3]))


def test_a_slot_goes_back_to_an_earlier_length(llama):
    """A row that starts inside a slot overwrites what lies behind."""
    ids, other = llama.tokens(20, 1), llama.tokens(5, 2)
    llama.forward(TokenRow(0, 0, ids, 0))

    agree(llama.forward(TokenRow(0, 10, other, 1)), llama.expected([*ids[:10], *other]))


def test_a_copied_prefix_continues_on_its_own(llama):
    """After a copy, source and target continue the same prefix apart from each other."""
    ids = llama.tokens(12)
    llama.forward(TokenRow(0, 0, ids, 0))
    llama.model.copy_prefix(0, 2, 8)

    logits = llama.forward(TokenRow(0, 12, [7], 1), TokenRow(2, 8, [40, 41], 1))

    agree(logits, llama.expected([*ids, 7], [*ids[:8], 40, 41]))


def test_bf16_stays_close_to_fp32(pair):
    """Computed in bf16, logits keep their direction."""
    config = LlamaConfig(**SIZES)
    llama = pair(config, dtype="bf16", isa="torch")
    ids = llama.tokens(30)
    llama.forward(TokenRow(0, 0, ids[:20], 0), TokenRow(1, 0, ids[:5], 0))

    logits = llama.forward(TokenRow(0, 20, ids[20:], 1), TokenRow(1, 5, ids[5:6], 1))

    expected = llama.expected(ids, ids[:6])
    cosines = (logits * expected).sum(1) / np.linalg.norm(logits, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999
    assert logits.dtype == np.float32


def test_facts_describe_the_model(llama):
    """The engine learns vocabulary, window and the price of a token."""
    layers, heads_and_values, head_dim, float_bytes = 2, 2 * 2, 8, 4

    assert llama.facts.vocabulary_size == 97
    assert llama.facts.context_length == 128
    assert llama.facts.kv_bytes_per_token == layers * heads_and_values * head_dim * float_bytes
    assert llama.facts.embedding_length == 0
    assert llama.facts.generates
    assert llama.facts.computes == "fp32, torch"

"""Texts of like length share a pass, and each is found again in its place."""

import numpy as np
import pytest

from homeport import ContextOverflowError, InvalidRequestError, TokenModelFacts
from homeport.checkpoint import TextBatch
from homeport.checkpoint.text_batches import check_texts

FACTS = TokenModelFacts(
    vocabulary_size=97, context_length=8, kv_bytes_per_token=0, embedding_length=4, generates=False
)


def test_each_text_is_in_one_batch_as_it_was_given():
    """Places, masks and ids together give back all texts, whatever was put beside them."""
    lengths = np.random.default_rng(3).integers(1, 40, 60)
    texts = [list(range(1, length + 1)) for length in lengths]

    batches = list(TextBatch.of_like_length(texts, padding=96, most_tokens=128))

    found = {}
    for batch in batches:
        assert batch.ids.dtype == batch.mask.dtype == np.int64
        assert batch.ids.size <= 128
        assert (batch.ids[batch.mask == 0] == 96).all()
        for place, ids, mask in zip(batch.places, batch.ids, batch.mask, strict=True):
            assert place not in found
            found[place] = ids[: mask.sum()].tolist()
    assert [found[place] for place in range(len(texts))] == texts


def test_texts_of_like_length_are_neighbours():
    """Sorted by length, of texts whose lengths differ by up to 20 times less than a fifth is padding."""
    texts = [[1] * length for length in range(5, 105)]

    batches = list(TextBatch.of_like_length(texts, padding=0, most_tokens=512))

    padding = sum(int((batch.mask == 0).sum()) for batch in batches)
    assert padding < sum(batch.ids.size for batch in batches) / 5


def test_a_text_longer_than_a_batch_is_alone():
    """The bound of tokens never refuses a text."""
    batches = list(TextBatch.of_like_length([[1] * 5, [1] * 20, [1] * 4], padding=0, most_tokens=10))

    assert [batch.places.tolist() for batch in batches] == [[1], [0, 2]]


def test_no_texts_make_no_batches():
    """Nothing to embed takes no pass."""
    assert list(TextBatch.of_like_length([], padding=0)) == []


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ([], InvalidRequestError, "no tokens, expected at least 1"),
        ([1] * 9, ContextOverflowError, "an input of 9 tokens exceeds the model's 8"),
        ([1, 97], InvalidRequestError, "token id 97 is outside the vocabulary, expected 0 to 96"),
        ([-1], InvalidRequestError, "token id -1"),
    ],
    ids=["empty", "too long", "unknown token", "negative token"],
)
def test_texts_that_cannot_be_read_are_refused(text, error, message):
    """Among good texts, a bad one is named with its value and what is allowed."""
    with pytest.raises(error, match=message):
        check_texts([[1], text], FACTS)

"""A model checks what it is asked for, and hands over what its decoder or encoder can do."""

from pathlib import Path

import attrs
import numpy as np
import pytest

from homeport import (
    ContextOverflowError,
    GenerationError,
    InvalidRequestError,
    LoadError,
    LoadPlan,
    TokenBatch,
    TokenModelFacts,
    TokenRow,
    UnsupportedError,
)
from homeport.checkpoint import BoundedModel

FACTS = TokenModelFacts(vocabulary_size=5, context_length=32, kv_bytes_per_token=0)
PLAN = LoadPlan(context_length=64, slots=2, threads=1)
FOLDER = Path("model")


@attrs.frozen
class OneHot:
    """A decoder that foretells the token it reads, and remembers what else it was told."""

    facts: TokenModelFacts = FACTS
    told: list[tuple[str, tuple[int, ...]]] = attrs.Factory(list)

    def forward(self, batch):
        ids = [token for row in batch.rows for token in row.tokens]
        return np.eye(self.facts.vocabulary_size, dtype=np.float32)[ids]

    def copy_prefix(self, *places):
        self.told.append(("copy", places))

    def release(self, *places):
        self.told.append(("release", places))


@attrs.frozen
class Lengths:
    """An encoder whose only component is the length of the text."""

    facts: TokenModelFacts = attrs.evolve(FACTS, embedding_length=1, generates=False)

    def embed(self, inputs):
        return np.array([[len(ids)] for ids in inputs], np.float32)


class Opened(BoundedModel):
    """A model that is there already, or does not fit."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def _open(self, folder, plan):
        if self.inside is None:
            raise MemoryError(f"{folder} needs more than {plan.slots} bytes")
        return self.inside


def loaded(inside):
    model = Opened(inside)
    assert model.load(FOLDER, PLAN) is inside.facts
    return model


def batch(*tokens, slot=0, start=0):
    return TokenBatch((TokenRow(slot, start, tokens, len(tokens)),))


def test_what_is_within_the_bounds_reaches_the_decoder():
    """A copy onto itself is nothing to do, nor is a batch without rows."""
    decoder = OneHot()
    model = loaded(decoder)

    assert model.forward(batch(3, 1)).argmax(1).tolist() == [3, 1]
    assert model.forward(TokenBatch(())).shape == (0, 5)
    model.copy_prefix(0, 1, 32)
    model.copy_prefix(1, 1, 32)
    model.release(1, 8)

    assert decoder.told == [("copy", (0, 1, 32)), ("release", (1, 8))]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda model: model.forward(batch(5)), InvalidRequestError),
        (lambda model: model.forward(batch(1, slot=2)), GenerationError),
        (lambda model: model.forward(batch(1, start=32)), ContextOverflowError),
        (lambda model: model.copy_prefix(0, 2, 1), GenerationError),
        (lambda model: model.copy_prefix(2, 0, 1), GenerationError),
        (lambda model: model.copy_prefix(0, 1, 33), ContextOverflowError),
        (lambda model: model.release(2, 0), GenerationError),
        (lambda model: model.release(0, 33), ContextOverflowError),
    ],
)
def test_what_is_outside_never_reaches_it(ask, error):
    """The window is the shorter one of the plan's and the model's."""
    decoder = OneHot()
    with pytest.raises(error):
        ask(loaded(decoder))
    assert decoder.told == []


def test_a_decoder_has_no_embeddings():
    with pytest.raises(UnsupportedError, match="generates text and has no embeddings"):
        loaded(OneHot()).embed([[1]])


def test_an_encoder_embeds_and_does_nothing_else():
    model = loaded(Lengths())

    assert model.embed([[1, 2], [3]]).tolist() == [[2], [1]]
    with pytest.raises(UnsupportedError, match="does not generate text"):
        model.forward(batch(1))
    for ask in (lambda: model.copy_prefix(0, 1, 1), lambda: model.release(0, 0)):
        with pytest.raises(UnsupportedError, match="has no cache"):
            ask()


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([[1], []], InvalidRequestError, "no tokens"),
        ([[1, 5]], InvalidRequestError, "token id 5 is outside the vocabulary, expected 0 to 4"),
        ([[1] * 33], ContextOverflowError, "an input of 33 tokens exceeds the model's 32"),
    ],
    ids=["empty", "unknown token", "too long"],
)
def test_texts_that_cannot_be_embedded_never_reach_the_encoder(inputs, error, message):
    with pytest.raises(error, match=message):
        loaded(Lengths()).embed(inputs)


def test_a_second_model_takes_the_place_of_the_first():
    """Whichever kind each is of; nothing of the first is left to answer."""
    model = loaded(OneHot())
    model.inside = Lengths()
    model.load(FOLDER, PLAN)
    with pytest.raises(UnsupportedError, match="does not generate text"):
        model.forward(batch(1))
    model.inside = OneHot()
    model.load(FOLDER, PLAN)
    with pytest.raises(UnsupportedError, match="has no embeddings"):
        model.embed([[1]])


def test_a_model_that_does_not_fit_is_a_load_error():
    """It names model, context and setting."""
    expected = "no memory for 'model' with sequences of 64 tokens: .*context_length"
    with pytest.raises(LoadError, match=expected):
        Opened(None).load(FOLDER, PLAN)

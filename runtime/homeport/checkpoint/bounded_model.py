"""A local backend's model: what is asked of it is checked, then a decoder or an encoder computes it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from homeport.checkpoint.bounds import Bounds
from homeport.checkpoint.text_batches import check_texts
from homeport.domain.errors import LoadError, UnsupportedError
from homeport.plugin.token_model import LoadPlan, TokenBatch, TokenModelFacts


class Decoder(Protocol):
    """A way to compute a decoder; it is asked only for what is within its bounds."""

    facts: TokenModelFacts

    def forward(self, batch: TokenBatch) -> NDArray[np.float32]:
        """As in ``TokenModel``; the batch has rows."""
        ...

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """As in ``TokenModel``; the slots differ."""
        ...

    def release(self, slot: int, length: int) -> None:
        """As in ``TokenModel``."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """A way to compute an encoder; it is asked only for what its facts allow."""

    facts: TokenModelFacts

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """As in ``TokenModel``."""
        ...


class BoundedModel(ABC):
    """A ``TokenModel`` that refuses what its decoder or encoder cannot do; a backend writes ``_open``."""

    def __init__(self) -> None:
        self._decoder: Decoder | None = None
        self._encoder: Encoder | None = None
        self._bounds = Bounds(slots=0, context_length=0, vocabulary_size=0)

    @abstractmethod
    def _open(self, folder: Path, plan: LoadPlan) -> Decoder | Encoder:
        """Load what is in a folder.

        Args:
            folder: The model.
            plan: What it may use; its context may be longer than the model's.

        Raises:
            LoadError: The folder is damaged, or holds something that cannot be run.
            MemoryError: It does not fit; ``load`` tells how to mend that.
        """

    def load(self, path: Path, plan: LoadPlan) -> TokenModelFacts:
        """Open the model at ``path``; see ``TokenModel.load``.

        A plan for a longer context than the model was made for is cut to it. What was loaded before gives
        way.

        Raises:
            LoadError: The folder is damaged, holds something that cannot be run, or does not fit into memory.
        """
        try:
            opened = self._open(path, plan)
        except MemoryError as error:
            raise LoadError(
                f"no memory for {path.name!r} with sequences of {plan.context_length} tokens: {error}",
                hint="Lower [models] context_length, or choose a smaller model",
            ) from error
        if isinstance(opened, Encoder):
            self._decoder, self._encoder = None, opened
        else:
            self._decoder, self._encoder = opened, None
        self._bounds = Bounds(
            slots=plan.slots,
            context_length=min(plan.context_length, opened.facts.context_length),
            vocabulary_size=opened.facts.vocabulary_size,
        )
        return opened.facts

    def forward(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Compute all rows; see ``TokenModel.forward``.

        Raises:
            UnsupportedError: The model is an encoder.
            InvalidRequestError: A token id is outside the vocabulary.
            ContextOverflowError: A row ends behind the last place of its slot.
            GenerationError: The batch names a slot that does not exist, twice, or without tokens; or the
                decoder fails.
        """
        if self._decoder is None:
            raise UnsupportedError("an embedding model does not generate text")
        if not batch.rows:
            return np.empty((0, self._bounds.vocabulary_size), np.float32)
        self._bounds.check(batch)
        return self._decoder.forward(batch)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` cached tokens of one slot to another.

        Raises:
            UnsupportedError: The model is an encoder.
            ContextOverflowError: A slot holds fewer tokens.
            GenerationError: A slot does not exist.
        """
        decoder = self._decoder_with_cache()
        self._bounds.check_slot(source)
        self._bounds.check_slot(target)
        self._bounds.check_length(length)
        if source != target:
            decoder.copy_prefix(source, target, length)

    def release(self, slot: int, length: int) -> None:
        """Forget what a slot holds behind its first ``length`` tokens; see ``TokenModel.release``.

        Raises:
            UnsupportedError: The model is an encoder.
            ContextOverflowError: A slot holds fewer tokens.
            GenerationError: The slot does not exist.
        """
        decoder = self._decoder_with_cache()
        self._bounds.check_slot(slot)
        self._bounds.check_length(length)
        decoder.release(slot, length)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embed token sequences as the model's files say; see ``TokenModel.embed``.

        Raises:
            UnsupportedError: The model is a decoder.
            InvalidRequestError: A sequence is empty or names an unknown token.
            ContextOverflowError: A sequence is longer than the model reads.
            GenerationError: The encoder fails.
        """
        if self._encoder is None:
            raise UnsupportedError("this model generates text and has no embeddings")
        check_texts(inputs, self._encoder.facts)
        return self._encoder.embed(inputs)

    def _decoder_with_cache(self) -> Decoder:
        if self._decoder is None:
            raise UnsupportedError("an embedding model has no cache")
        return self._decoder

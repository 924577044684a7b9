"""The backend's ``TokenModel``: picks the implementation that fits a folder and hands over to it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray

from homeport import LoadError, LoadPlan, TokenBatch, TokenModelFacts, UnsupportedError
from homeport_transformers.bounds import Bounds
from homeport_transformers.checkpoint import Checkpoint
from homeport_transformers.config import TransformersConfig
from homeport_transformers.dtype import compute_dtype
from homeport_transformers.llama import LlamaDecoder
from homeport_transformers.llama_shape import LlamaShape, why_not_llama
from homeport_transformers.llama_weights import strange_tensor
from homeport_transformers.sentence_pooling import MODULES_FILE


class Decoder(Protocol):
    """A way to compute a decoder."""

    facts: TokenModelFacts

    def forward(self, batch: TokenBatch) -> NDArray[np.float32]:
        """As in ``TokenModel``."""
        ...

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """As in ``TokenModel``."""
        ...


class Encoder(Protocol):
    """A way to compute an encoder."""

    facts: TokenModelFacts

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """As in ``TokenModel``."""
        ...


class TransformersModel:
    """One model on torch.

    Llama-shaped decoders run through homeport's own forward pass, other decoders and all encoders through
    transformers, which is imported only then.

    Args:
        config: The backend's settings.
    """

    def __init__(self, config: TransformersConfig) -> None:
        self._config = config
        self._decoder: Decoder | None = None
        self._encoder: Encoder | None = None
        self._bounds = Bounds(slots=0, context_length=0, vocabulary_size=0)

    def load(self, path: Path, plan: LoadPlan) -> TokenModelFacts:
        """Map the model at ``path``; see ``TokenModel.load``.

        A plan for a longer context than the model was made for is cut to it.

        Raises:
            LoadError: The folder is damaged or holds something that cannot be run.
        """
        _use_threads(plan.threads)
        checkpoint = Checkpoint.read(path)
        dtype = compute_dtype(self._config.dtype, checkpoint.dtype)
        reason = self._why_not_lean(checkpoint)
        if reason is None:
            self._decoder = LlamaDecoder.load(checkpoint, plan, dtype)
        else:
            self._load_through_transformers(checkpoint, plan, dtype)
        facts = self._loaded().facts
        self._bounds = Bounds(
            slots=plan.slots,
            context_length=min(plan.context_length, facts.context_length),
            vocabulary_size=facts.vocabulary_size,
        )
        route = f"transformers, because {reason}" if reason else "the lean forward pass"
        logger.info("computing in {} on {} threads through {}", dtype, plan.threads, route)
        return facts

    def forward(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Compute all rows; see ``TokenModel.forward``.

        Raises:
            UnsupportedError: The model is an encoder.
            InvalidRequestError: A token id is outside the vocabulary.
            ContextOverflowError: A row ends behind the last place of its slot.
            GenerationError: The batch names a slot that does not exist, twice, or without tokens.
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
        if self._decoder is None:
            raise UnsupportedError("an embedding model has no cache")
        self._bounds.check_slot(source)
        self._bounds.check_slot(target)
        self._bounds.check_length(length)
        if source != target:
            self._decoder.copy_prefix(source, target, length)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embed token sequences as the model's files say; see ``TokenModel.embed``.

        Raises:
            UnsupportedError: The model is a decoder.
            InvalidRequestError: A sequence is empty or names an unknown token.
            ContextOverflowError: A sequence is longer than the model reads.
        """
        if self._encoder is None:
            raise UnsupportedError("this model generates text and has no embeddings")
        return self._encoder.embed(inputs)

    def _why_not_lean(self, checkpoint: Checkpoint) -> str | None:
        if not self._config.lean:
            return "the setting lean is off"
        if (checkpoint.path / MODULES_FILE).is_file():
            return "it embeds"
        reason = why_not_llama(checkpoint.config)
        if reason is None:
            stray = strange_tensor(checkpoint, LlamaShape.read(checkpoint.config))
            reason = stray and f"it holds the tensor {stray!r}"
        return reason

    def _load_through_transformers(self, checkpoint: Checkpoint, plan: LoadPlan, dtype: torch.dtype) -> None:
        # Imported here: transformers adds 1.3 s to the start of a worker that may not need it.
        from homeport_transformers.encoder import SentenceEncoder  # noqa: PLC0415
        from homeport_transformers.generic import GenericDecoder  # noqa: PLC0415
        from homeport_transformers.library import is_encoder  # noqa: PLC0415

        if (checkpoint.path / MODULES_FILE).is_file() or is_encoder(checkpoint.config):
            self._encoder = SentenceEncoder.load(checkpoint, plan, dtype)
        else:
            self._decoder = GenericDecoder.load(checkpoint, plan, dtype)

    def _loaded(self) -> Decoder | Encoder:
        loaded = self._decoder or self._encoder
        if loaded is None:
            raise LoadError("no model is loaded")
        return loaded


def _use_threads(count: int) -> None:
    torch.set_num_threads(count)
    # Fixed once any operator ran: a worker loads one model, a test process several.
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)

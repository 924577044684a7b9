"""Embeddings through transformers' own encoders, several texts at once."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from homeport import LoadPlan, TokenModelFacts
from homeport.checkpoint import Checkpoint, SentencePooling, TextBatch
from homeport_transformers.dtype import computes_in
from homeport_transformers.library import build


class SentenceEncoder:
    """Embeds token sequences.

    Args:
        model: A ``PreTrainedModel`` without a head.
        pooling: How its states become one vector.
        longest: Bound of the input where neither model nor pooling names one, in tokens.
    """

    def __init__(self, model: Any, pooling: SentencePooling, longest: int) -> None:  # noqa: ANN401 - untyped
        self._model = model
        self._pooling = pooling
        model.config.use_cache = False
        self._padding = model.config.pad_token_id or 0
        limits = [limit for limit in (pooling.max_tokens, _positions(model)) if limit is not None]
        self.facts = TokenModelFacts(
            vocabulary_size=model.config.vocab_size,
            context_length=min(limits, default=longest),
            kv_bytes_per_token=0,
            embedding_length=model.config.hidden_size * len(pooling.modes),
            generates=False,
            computes=computes_in(model.dtype, "transformers"),
        )

    @classmethod
    def load(cls, checkpoint: Checkpoint, plan: LoadPlan, dtype: torch.dtype) -> Self:
        """Load an encoder and what its files say about pooling.

        Raises:
            LoadError: transformers does not know it, or the files do not fit.
        """
        pooling = SentencePooling.read(checkpoint.path)
        return cls(build(AutoModel, checkpoint, dtype), pooling, plan.context_length)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embed token sequences; see ``TokenModel.embed``."""
        vectors = np.empty((len(inputs), self.facts.embedding_length), np.float32)
        for batch in TextBatch.of_like_length(inputs, padding=self._padding):
            vectors[batch.places] = self._embed(batch)
        return vectors

    @torch.inference_mode()
    def _embed(self, batch: TextBatch) -> NDArray[np.float32]:
        ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self._pooling.pool(states.float().numpy(), batch.mask)


def _positions(model: Any) -> int | None:  # noqa: ANN401 - untyped
    """Positions that can hold a token; RoBERTa and its kin leave out those up to the padding id."""
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return positions if positions is None or padding is None else positions - padding - 1

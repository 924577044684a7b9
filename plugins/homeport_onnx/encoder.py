"""Embeddings through onnxruntime, several texts at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from homeport import GenerationError, LoadError, LoadPlan, TokenModelFacts
from homeport.checkpoint import MOST_TOKENS, EncoderLimits, OnnxFile, SentencePooling, TextBatch
from homeport_onnx.config import OnnxConfig
from homeport_onnx.encoder_form import EncoderForm
from homeport_onnx.session import FAILURES, open_session, reason


class OnnxEncoder:
    """Embeds token sequences.

    Args:
        session: The open model.
        form: What it is fed with and gives back.
        limits: What its files say of its inputs.
        pooling: How its states become one vector.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        form: EncoderForm,
        limits: EncoderLimits,
        pooling: SentencePooling,
    ) -> None:
        self._session = session
        self._form = form
        self._padding = limits.padding_id
        self._pooling = pooling
        self.facts = TokenModelFacts(
            vocabulary_size=limits.vocabulary,
            context_length=limits.context_length,
            kv_bytes_per_token=0,
            embedding_length=self._width(),
            generates=False,
            computes=form.computes,
        )

    @classmethod
    def load(cls, folder: Path, file: OnnxFile, plan: LoadPlan, config: OnnxConfig) -> Self:
        """Open an encoder.

        Args:
            folder: With config.json and what sentence-transformers saved.
            file: The graph, which was found safe.
            plan: What it may use.
            config: The backend's settings.

        Raises:
            LoadError: The graph has inputs that nothing is known to feed, gives back no states, or the files
                do not fit.
        """
        form = EncoderForm.read(file)
        pooling = SentencePooling() if form.is_pooled else SentencePooling.read(folder)
        limits = EncoderLimits.read(folder, longest=plan.context_length)
        return cls(open_session(file.path, config, plan.threads), form, limits, pooling)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embed token sequences; see ``TokenModel.embed``.

        Raises:
            GenerationError: onnxruntime cannot compute it.
        """
        vectors = np.empty((len(inputs), self.facts.embedding_length), np.float32)
        most_tokens = 1 if self._form.is_for_one_text else MOST_TOKENS
        for batch in TextBatch.of_like_length(inputs, padding=self._padding, most_tokens=most_tokens):
            computed = self._embed(batch)
            if computed.shape[1] != self.facts.embedding_length:
                raise GenerationError(
                    f"{self._form.output!r} makes vectors of {computed.shape[1]} numbers, "
                    f"expected {self.facts.embedding_length} as at first"
                )
            vectors[batch.places] = computed
        return vectors

    def _embed(self, batch: TextBatch) -> NDArray[np.float32]:
        try:
            [states] = self._session.run([self._form.output], self._form.feeds(batch))
        except FAILURES as error:
            raise GenerationError(f"onnxruntime cannot embed: {reason(error)}") from error
        states = np.asarray(states, np.float32)
        expected = batch.ids.shape[:1] if self._form.is_pooled else batch.ids.shape
        if states.shape[:-1] != expected:
            raise GenerationError(
                f"{self._form.output!r} of {len(batch.ids)} texts of {batch.ids.shape[1]} tokens has shape "
                f"{list(states.shape)}, expected {list(expected)} vectors"
            )
        return states if self._form.is_pooled else self._pooling.pool(states, batch.mask)

    def _width(self) -> int:
        """Embed one token: exports leave the width of a vector open."""
        [batch] = TextBatch.of_like_length([[self._padding]], padding=self._padding)
        try:
            width: int = self._embed(batch).shape[1]
        except GenerationError as error:
            raise LoadError(
                error.message, hint="Export it again for the CPU, with the task feature-extraction"
            ) from error
        return width

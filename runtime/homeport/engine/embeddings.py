"""An embedding request at work: a slice of its inputs per step, so that nothing waits for all of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import ContextOverflowError, InvalidRequestError
from homeport.engine.tokenizer import TextTokenizer
from homeport.plugin.token_model import TokenModel, TokenModelFacts

EMBED_OVERFLOW = "the input length exceeds the context length"
SLICE_TOKENS = 2048
"""About 0.3 s of a small encoder on two cores; a slice holds at least one input."""


class EmbeddingJob:
    """Embeds the inputs of one request, in order.

    Args:
        request: What to embed.
        tokenizer: Of the model.
        facts: Of the model.
    """

    def __init__(self, request: EmbeddingRequest, tokenizer: TextTokenizer, facts: TokenModelFacts) -> None:
        self.request_id = request.id
        self._request = request
        self._tokenizer = tokenizer
        self._facts = facts
        self._next = 0
        self._prompt_tokens = 0
        self._vectors: list[tuple[float, ...]] = []

    def advance(self, model: TokenModel) -> EmbeddingResult | None:
        """Embed the next slice; give the result when it was the last.

        Raises:
            ContextOverflowError: An input exceeds the window and must not be cut.
            InvalidRequestError: An id is no id, or an input holds nothing to read.
        """
        inputs = self._take_slice()
        if inputs:
            vectors = np.asarray(model.embed(inputs), dtype=np.float32)
            self._vectors.extend(tuple(row) for row in self._finished(vectors).tolist())
            self._prompt_tokens += sum(len(tokens) for tokens in inputs)
        if self._next < len(self._request.inputs):
            return None
        return EmbeddingResult(tuple(self._vectors), self._prompt_tokens)

    def _take_slice(self) -> list[list[int]]:
        inputs: list[list[int]] = []
        room = SLICE_TOKENS
        while self._next < len(self._request.inputs) and room > 0:
            tokens = self._encoded(self._request.inputs[self._next])
            if inputs and len(tokens) > room:
                break
            inputs.append(tokens)
            room -= len(tokens)
            self._next += 1
        return inputs

    def _encoded(self, given: str | Sequence[int]) -> list[int]:
        limit = self._facts.context_length
        is_long_text = isinstance(given, str) and len(given) > limit
        longest = limit * self._tokenizer.longest_token if is_long_text else limit
        if len(given) > longest and not self._request.truncate:
            raise ContextOverflowError(EMBED_OVERFLOW, field="input")
        tokens = self._ids(given[:longest])
        if len(tokens) <= limit:
            return tokens
        if not self._request.truncate:
            raise ContextOverflowError(EMBED_OVERFLOW, field="input")
        return [*tokens[: limit - 1], tokens[-1]]

    def _ids(self, given: str | Sequence[int]) -> list[int]:
        if isinstance(given, str):
            tokens = self._tokenizer.encode(given, add_special_tokens=True)
        else:
            tokens = list(given)
        if not tokens:
            message = f"input {self._next} holds no token to embed"
            raise InvalidRequestError(message, field="input")
        size = self._facts.vocabulary_size
        strange = next((token for token in tokens if not 0 <= token < size), None)
        if strange is not None:
            message = f"token {strange} is outside the vocabulary: expected 0 to {size - 1}"
            raise InvalidRequestError(message, field="input")
        return tokens

    def _finished(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut and normalise as the request asks."""
        dimensions = self._request.dimensions
        if dimensions is not None:
            vectors = vectors[:, :dimensions]
        if not self._request.normalize and dimensions is None:
            return vectors
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

"""Choosing one of several labels by the logits behind a prompt, without generating anything."""

from collections.abc import Sequence

import numpy as np

from homeport.domain.errors import GenerationError, UnsupportedError
from homeport.domain.generation import TextDelta, TokenLogprob
from homeport.engine.logits import Logits
from homeport.engine.tokenizer import TextTokenizer


class Labels:
    """The labels of one request.

    Args:
        texts: At least one; each is one token of its own.
        tokenizer: Of the model.
        vocabulary_size: Length of a row of logits.

    Raises:
        UnsupportedError: A label is more than one token of this model, or two are the same one.
    """

    def __init__(self, texts: Sequence[str], tokenizer: TextTokenizer, vocabulary_size: int) -> None:
        self._texts = tuple(texts)
        encoded = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        ids = [tokens[0] for tokens in encoded if len(tokens) == 1 and tokens[0] < vocabulary_size]
        if len(ids) < len(texts) or len(set(ids)) < len(ids):
            message = f"this model cannot choose among {', '.join(map(repr, texts))}: not one token each"
            raise UnsupportedError(message, field="labels")
        self._ids = np.array(ids, dtype=np.int64)

    def choose(self, logits: Logits) -> TextDelta:
        """Give the likeliest label, with the log-probabilities of all among themselves.

        Raises:
            GenerationError: The model computed what is no number.
        """
        scores = logits[self._ids].astype(np.float64)
        scores -= scores.max()
        scores -= np.log(np.exp(scores).sum())
        if not np.isfinite(scores).any():
            raise GenerationError("the model computed logits that are not numbers")
        best = int(scores.argmax())
        alternatives = tuple(zip(self._texts, scores.tolist(), strict=True))
        label = TokenLogprob(self._texts[best], float(scores[best]), alternatives)
        return TextDelta(label.token, (label,))

"""What a local backend writes, a ``TokenModel``, and what the engine and it say to each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class LoadPlan:
    """What a local model may use.

    Attributes:
        context_length: Tokens that one slot must hold.
        slots: How many sequences have a place in the key-value cache. A place should cost memory only where
            tokens were written: there are more of them than sequences that run.
        threads: Compute threads.
        cache_bytes: What the written places may hold together, which the engine sees to; None sets no bound.
    """

    context_length: int
    slots: int
    threads: int
    cache_bytes: int | None = None


@attrs.frozen(kw_only=True)
class TokenModelFacts:
    """What the engine must know of a loaded model.

    Attributes:
        vocabulary_size: Length of a row of logits.
        context_length: Longest sequence the model was made for, in tokens.
        kv_bytes_per_token: Cache memory of one token of one sequence; 0 for encoders.
        embedding_length: Width of an embedding; 0 where ``embed`` is not offered.
        generates: Whether ``forward`` is offered.
        rewinds: Whether a row that starts before the end of its slot, and ``copy_prefix``, cost less than
            computing those tokens again. Where not, no prefix is shared and no token is guessed.
        computes: What it computes in, for people, in one line: ``int4 weights, bf16 cache, int16
            activations, AVX512`` or ``fp32, torch``; empty where the backend does not tell.
    """

    vocabulary_size: int
    context_length: int
    kv_bytes_per_token: int
    embedding_length: int = 0
    generates: bool = True
    rewinds: bool = True
    computes: str = ""


@attrs.frozen
class TokenRow:
    """The next tokens of one sequence.

    Attributes:
        slot: Its place in the key-value cache, 0 to slots - 1; a slot appears once in a batch.
        start: How many tokens of it the slot holds already; what lies behind them is to be overwritten.
        tokens: Ids to compute, at positions ``start``, ``start + 1``, ...; at least one.
        logits: How many of its last tokens want logits: 0 for a part of a prompt that is not its last, 1 to
            choose the next token, more to check tokens that were guessed.
    """

    slot: int
    start: int
    tokens: Sequence[int]
    logits: int


@attrs.frozen
class TokenBatch:
    """One step of all running sequences: prompts and single tokens side by side."""

    rows: tuple[TokenRow, ...]


class TokenModel(Protocol):
    """A local backend: the forward pass of one model, built inside a worker process.

    Scheduling, batching, sampling, stop texts, detokenising and cancellation come from the engine.
    All methods are called from one thread.
    """

    def load(self, path: Path, plan: LoadPlan) -> TokenModelFacts:
        """Map the model at ``path`` and make room for ``plan.slots`` sequences.

        Args:
            path: A folder in Hugging Face layout: config.json, *.safetensors, tokenizer.json.
            plan: What it may use.

        Raises:
            LoadError: The folder holds something this backend cannot run.
        """
        ...

    def forward(self, batch: TokenBatch) -> "NDArray[np.float32]":
        """Compute all rows.

        Returns:
            Logits behind the last ``row.logits`` tokens of each row, in order:
            float32 [sum of the rows' logits, vocabulary_size].

        Raises:
            UnsupportedError: The model generates nothing; so do ``copy_prefix`` and ``release``.
        """
        ...

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` cached tokens of one slot to another."""
        ...

    def release(self, slot: int, length: int) -> None:
        """Forget what a slot holds behind its first ``length`` tokens; give that memory back where it can be.

        The slot may be written again at any time. Doing nothing is correct, and keeps the memory.
        """
        ...

    def embed(self, inputs: Sequence[Sequence[int]]) -> "NDArray[np.float32]":
        """Embed token sequences as the model's files say: float32 [inputs, embedding_length]."""
        ...

"""A whole model of a few kilobytes: for tests of everything around the forward pass.

``ChecksumModel`` continues a text by a rule instead of weights: the next byte is a checksum of the whole
sequence so far. Any slip of the engine, a wrong slot, a lost or doubled token, changes the answer, and
:func:`checksum_answer` says what the answer must be.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from homeport import LoadError, LoadPlan, TokenBatch, TokenModelFacts, TokenRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

END_TOKEN = 256
"""Ids 0 to 255 are bytes, this one ends a text."""
VOCABULARY_SIZE = 257
CONTEXT_LENGTH = 512
_PRINTABLE_FROM = 32
_PRINTABLE = 95
_NO_MESSAGE = b"\xc1"
"""The one byte that MessagePack never uses."""


@attrs.frozen(kw_only=True)
class ChecksumConfig:
    """How the model behaves.

    Attributes:
        step_seconds: How long one step takes.
        die_at_token: The process ends hard when a sequence reaches this length; None lives.
        fail_at_token: A step raises when a sequence reaches this length; None works.
        lie_at_token: The worker sends what is no message when a sequence reaches this length; None does not.
    """

    step_seconds: float = 0.0
    die_at_token: int | None = None
    fail_at_token: int | None = None
    lie_at_token: int | None = None


class ChecksumModel:
    """A ``TokenModel`` whose cache holds the tokens themselves."""

    def __init__(self, config: ChecksumConfig | None = None) -> None:
        self._config = config or ChecksumConfig()
        self._cache: list[list[int]] = []

    def load(self, path: Path, plan: LoadPlan) -> TokenModelFacts:
        """Make room for the slots.

        Raises:
            LoadError: The folder holds no model.
        """
        if not (path / "config.json").is_file():
            message = f"{str(path)!r} holds no config.json"
            raise LoadError(message, hint="Write one with: write_tiny_model(folder)")
        self._cache = [[] for _ in range(plan.slots)]
        return TokenModelFacts(
            vocabulary_size=VOCABULARY_SIZE,
            context_length=CONTEXT_LENGTH,
            kv_bytes_per_token=8,
            embedding_length=4,
            computes="checksums, Python",
        )

    def forward(self, batch: TokenBatch) -> "NDArray[np.float32]":
        """Give the checksum of each row a logit of 10, all others 0."""
        import numpy as np

        time.sleep(self._config.step_seconds)
        sequences = [
            cached[:end]
            for cached, row in [(self._extend(row), row) for row in batch.rows]
            for end in range(len(cached) - row.logits + 1, len(cached) + 1)
        ]
        logits = np.zeros((len(sequences), VOCABULARY_SIZE), dtype=np.float32)
        for place, sequence in enumerate(sequences):
            logits[place, self._next_byte(sequence)] = 10.0
        return logits

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copy cached tokens."""
        self._cache[target] = self._cache[source][:length]

    def release(self, slot: int, length: int) -> None:
        """Forget cached tokens."""
        del self._cache[slot][length:]

    def embed(self, inputs: Sequence[Sequence[int]]) -> "NDArray[np.float32]":
        """Give length, sum, first and last of each input."""
        import numpy as np

        return np.array([[len(ids), sum(ids), ids[0], ids[-1]] for ids in inputs], dtype=np.float32)

    def _next_byte(self, sequence: Sequence[int]) -> int:
        return _next_byte(sequence)

    def _extend(self, row: TokenRow) -> list[int]:
        cached = self._cache[row.slot]
        if row.start > len(cached):
            message = f"slot {row.slot} holds {len(cached)} tokens, the row starts at {row.start}"
            raise ValueError(message)
        cached[row.start :] = row.tokens
        if self._config.die_at_token is not None and len(cached) >= self._config.die_at_token:
            os._exit(13)
        if self._config.lie_at_token is not None and len(cached) >= self._config.lie_at_token:
            channel = int(sys.argv[1])  # as the host tells a worker
            os.write(channel, len(_NO_MESSAGE).to_bytes(4, "big") + _NO_MESSAGE)
        if self._config.fail_at_token is not None and len(cached) >= self._config.fail_at_token:
            message = f"a sequence reached {len(cached)} tokens"
            raise ArithmeticError(message)
        return cached


def checksum_answer(prompt: str, tokens: int) -> str:
    """Say what greedy decoding must answer to a raw prompt."""
    sequence = list(prompt.encode())
    for _ in range(tokens):
        sequence.append(_next_byte(sequence))
    return bytes(sequence[-tokens:]).decode() if tokens else ""


def write_tiny_model(folder: Path) -> None:
    """Write the files of a model that ``ChecksumModel`` can load, in Hugging Face layout."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = _byte_alphabet()
    tokenizer = Tokenizer(models.BPE(vocab={alphabet[byte]: byte for byte in range(256)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    described = {"eos_token": "<end>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    config = {"model_type": "checksum", "eos_token_id": END_TOKEN, "max_position_embeddings": CONTEXT_LENGTH}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _next_byte(sequence: Sequence[int]) -> int:
    checksum = 0
    for token in sequence:
        checksum = (checksum * 31 + token + 7) % 65_521
    return _PRINTABLE_FROM + checksum % _PRINTABLE


def _byte_alphabet() -> list[str]:
    """Give the character that stands for each byte in byte-level BPE (Radford et al. 2019, GPT-2)."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(shifted)) for byte in range(256)]

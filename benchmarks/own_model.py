"""homeport's backend in this process, without engine and HTTP, timed as the peer is."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from loguru import logger
from numpy.typing import NDArray

from homeport import LoadPlan, TokenBatch, TokenRow
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel

_FIRST_TOKEN = 1000
"""Tokens to time with are drawn above the special ones, as the peer's are."""
_TIMING_SEED = 1


class OwnModel:
    """A loaded model.

    Args:
        folder: As ``homeport pull`` stored it.
        threads: Compute threads.
        context: Tokens of one sequence.
        sequences: How many run at once.
        config: Settings of the backend.
    """

    def __init__(
        self, folder: Path, *, threads: int, context: int, sequences: int, config: TransformersConfig
    ) -> None:
        logger.disable("homeport_transformers")
        self._model = TransformersModel(config)
        plan = LoadPlan(context_length=context, slots=sequences, threads=threads)
        self.facts = self._model.load(folder, plan)

    def prefill(self, tokens: int) -> float:
        """Give the seconds of one prompt."""
        row = TokenRow(0, 0, self._draw(tokens), 1)
        started = time.perf_counter()
        self._model.forward(TokenBatch((row,)))
        return time.perf_counter() - started

    def decode(self, rows: int, depth: int, steps: int) -> float:
        """Give the median seconds of a step of ``rows`` sequences that hold ``depth`` tokens."""
        self._model.forward(TokenBatch((TokenRow(0, 0, self._draw(depth), 1),)))
        for row in range(1, rows):
            self._model.copy_prefix(0, row, depth)
        seconds = []
        for step in range(steps + 1):
            tokens = self._draw(rows)
            batch = TokenBatch(
                tuple(TokenRow(row, depth + step, tokens[row : row + 1], 1) for row in range(rows))
            )
            started = time.perf_counter()
            self._model.forward(batch)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:])

    def logits(self, window: Sequence[int]) -> NDArray[np.float32]:
        """Compute the logits behind every token of a text: float32 [tokens, vocabulary]."""
        return self._model.forward(TokenBatch((TokenRow(0, 0, list(window), len(window)),)))

    def _draw(self, count: int) -> list[int]:
        draw = np.random.default_rng(_TIMING_SEED)
        return [int(token) for token in draw.integers(_FIRST_TOKEN, self.facts.vocabulary_size, count)]


def backend_config(settings: Sequence[str]) -> TransformersConfig:
    """Build the backend's settings from ``name=value``, as ``isa=avx2``."""
    given: dict[str, Any] = {}
    kinds = {field.name: field.type for field in attrs.fields(TransformersConfig)}
    for setting in settings:
        name, _, value = setting.partition("=")
        given[name] = value == "true" if kinds.get(name) in {bool, "bool"} else value
    return TransformersConfig(**given)

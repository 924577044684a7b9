"""Which sequences compute what in the next step."""

from collections import deque
from collections.abc import Iterable

import attrs

from homeport.engine.sequence import Sequence
from homeport.engine.slots import SlotPool
from homeport.plugin.protocols import TokenBatch, TokenRow

PROMPT_TOKENS_PER_STEP = 512
"""Bound of the prompt tokens in one step, so that running streams never wait for a whole long prompt."""


@attrs.frozen
class Step:
    """Work for one forward pass: the sequences, and a row for each."""

    sequences: tuple[Sequence, ...]
    batch: TokenBatch


class Scheduler:
    """First come, first served: waiting sequences take free slots, running ones share every step."""

    def __init__(self, slots: int) -> None:
        self._slots = SlotPool(slots)
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._waiting.append(sequence)

    def remove(self, sequences: Iterable[Sequence]) -> None:
        """Take sequences out, wherever they are, and free their slots."""
        for sequence in sequences:
            if sequence.slot is None:
                self._waiting.remove(sequence)
            else:
                self._running.remove(sequence)
                self._slots.give_back(sequence.slot)
                sequence.slot = None

    def find(self, request_id: str) -> list[Sequence]:
        """List the sequences of a request."""
        return [
            sequence for sequence in (*self._waiting, *self._running) if sequence.request_id == request_id
        ]

    def schedule(self) -> Step:
        """Plan the next step: one token per sequence past its prompt, the bound for the prompts."""
        while self._waiting and self._slots:
            sequence = self._waiting.popleft()
            sequence.slot = self._slots.take()
            self._running.append(sequence)
        budget = PROMPT_TOKENS_PER_STEP
        planned: list[tuple[Sequence, TokenRow]] = []
        for sequence in self._running:
            tokens = sequence.pending(budget if sequence.in_prompt else 1)
            if not tokens or sequence.slot is None:
                continue
            if sequence.in_prompt:
                budget -= len(tokens)
            is_last = sequence.computed + len(tokens) == len(sequence.tokens)
            planned.append((sequence, TokenRow(sequence.slot, sequence.computed, tokens, is_last)))
        planned.sort(key=lambda entry: entry[1].slot)
        return Step(tuple(entry[0] for entry in planned), TokenBatch(tuple(entry[1] for entry in planned)))

"""A batch laid out for one forward pass: all tokens in one line, rows of one token side by side."""

from collections.abc import Collection, Mapping, Sequence
from typing import Self

import attrs
import torch

from homeport import TokenBatch, TokenRow

_PADDING_ALLOWANCE_TOKENS = 256
"""Padding that is cheaper than one more call: 10 us at 3 heads of 64 components (2 Zen 5 cores)."""


@attrs.frozen(eq=False)
class DecodeRun:
    """Single tokens of neighbouring slots, attended in one call over a view padded to the longest.

    Attributes:
        tokens: Where they stand in the line of tokens.
        slots: Their slots.
        length: Tokens that the longest holds, the new one included.
        masks: By window: additive, [rows, 1, 1, length]; None where each sees all of the view.
    """

    tokens: slice
    slots: slice
    length: int
    masks: Mapping[int, torch.Tensor | None]


@attrs.frozen(eq=False)
class Prompt:
    """Several tokens of one slot.

    Attributes:
        tokens: Where they stand in the line of tokens.
        slots: Its slot.
        length: Tokens that the slot holds, the new ones included.
        masks: By window: additive, [new tokens, length]; None where it is a plain triangle.
    """

    tokens: slice
    slots: slice
    length: int
    masks: Mapping[int, torch.Tensor | None]


@attrs.frozen(kw_only=True, eq=False)
class Step:
    """One forward pass.

    Attributes:
        tokens: int64 [tokens].
        slots: int64 [tokens].
        positions: int64 [tokens].
        runs: Rows of one token.
        prompts: Rows of more.
        wanted: Places of the tokens whose logits are wanted, in the order of the batch.
    """

    tokens: torch.Tensor
    slots: torch.Tensor
    positions: torch.Tensor
    runs: tuple[DecodeRun, ...]
    prompts: tuple[Prompt, ...]
    wanted: torch.Tensor

    @classmethod
    def plan(cls, batch: TokenBatch, dtype: torch.dtype, windows: Collection[int] = (0,)) -> Self:
        """Lay out a batch.

        Args:
            batch: The rows.
            dtype: Type of the masks.
            windows: Those that layers have: a token sees the last so many, itself included; 0 is all.
        """
        single = sorted((row for row in batch.rows if len(row.tokens) == 1), key=_slot)
        several = [row for row in batch.rows if len(row.tokens) > 1]
        tokens: list[int] = []
        slots: list[int] = []
        positions: list[int] = []
        ends: dict[int, int] = {}
        for row in (*single, *several):
            tokens.extend(row.tokens)
            slots.extend([row.slot] * len(row.tokens))
            positions.extend(range(row.start, row.start + len(row.tokens)))
            ends[row.slot] = len(tokens) - 1
        return cls(
            tokens=torch.tensor(tokens),
            slots=torch.tensor(slots),
            positions=torch.tensor(positions),
            runs=tuple(_run(rows, begin, dtype, windows) for begin, rows in _runs(single)),
            prompts=tuple(_prompt(row, ends[row.slot], dtype, windows) for row in several),
            wanted=torch.tensor(
                [place for row in batch.rows for place in _wanted(row, ends[row.slot])], dtype=torch.int64
            ),
        )


def _slot(row: TokenRow) -> int:
    return row.slot


def _wanted(row: TokenRow, end: int) -> range:
    return range(end + 1 - row.logits, end + 1)


def _prompt(row: TokenRow, end: int, dtype: torch.dtype, windows: Collection[int]) -> Prompt:
    new, length = len(row.tokens), row.start + len(row.tokens)
    positions = torch.arange(row.start, length)
    masks: dict[int, torch.Tensor | None] = {}
    for window in windows:
        is_triangle = not row.start and not 0 < window < length
        masks[window] = None if is_triangle else _additive(_unseen(positions, length, window), dtype)
    return Prompt(slice(end + 1 - new, end + 1), slice(row.slot, row.slot + 1), length, masks)


def _runs(rows: Sequence[TokenRow]) -> list[tuple[int, Sequence[TokenRow]]]:
    """Split rows into runs, each with the place of its first."""
    runs: list[tuple[int, Sequence[TokenRow]]] = []
    begin = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or not _joins(rows[begin:end], rows[end]):
            runs.append((begin, rows[begin:end]))
            begin = end
    return runs


def _joins(run: Sequence[TokenRow], row: TokenRow) -> bool:
    if row.slot != run[-1].slot + 1:
        return False
    lengths = [member.start + 1 for member in (*run, row)]
    padding = max(lengths) * len(lengths) - sum(lengths)
    return padding <= sum(lengths) + _PADDING_ALLOWANCE_TOKENS


def _run(rows: Sequence[TokenRow], begin: int, dtype: torch.dtype, windows: Collection[int]) -> DecodeRun:
    positions = torch.tensor([row.start for row in rows])
    length = int(positions.max()) + 1
    is_ragged = int(positions.min()) + 1 < length
    masks: dict[int, torch.Tensor | None] = {}
    for window in windows:
        sees_all = not is_ragged and not 0 < window < length
        mask = None if sees_all else _additive(_unseen(positions, length, window), dtype)
        masks[window] = None if mask is None else mask[:, None, None]
    return DecodeRun(slice(begin, begin + len(rows)), slice(rows[0].slot, rows[-1].slot + 1), length, masks)


def _unseen(positions: torch.Tensor, length: int, window: int) -> torch.Tensor:
    """What tokens at some positions do not see: bool [positions, length]."""
    keys, own = torch.arange(length), positions.unsqueeze(1)
    return (keys > own) | (keys <= own - window) if window else keys > own


def _additive(unseen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(unseen.shape, dtype=dtype).masked_fill_(unseen, -torch.inf)

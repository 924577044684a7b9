"""A batch laid out for one forward pass: all tokens in one line, rows of one token side by side."""

from collections.abc import Sequence
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
        mask: Additive, [rows, 1, 1, length]; None where all are equally long.
    """

    tokens: slice
    slots: slice
    length: int
    mask: torch.Tensor | None


@attrs.frozen(eq=False)
class Prompt:
    """Several tokens of one slot.

    Attributes:
        tokens: Where they stand in the line of tokens.
        slots: Its slot.
        length: Tokens that the slot holds, the new ones included.
        mask: Additive, [new tokens, length]; None at the start of a slot, where it is a plain triangle.
    """

    tokens: slice
    slots: slice
    length: int
    mask: torch.Tensor | None


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
    def plan(cls, batch: TokenBatch, dtype: torch.dtype) -> Self:
        """Lay out a batch; ``dtype`` is that of the masks."""
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
            runs=tuple(_runs(single, dtype)),
            prompts=tuple(_prompt(row, ends[row.slot], dtype) for row in several),
            wanted=torch.tensor(
                [ends[row.slot] for row in batch.rows if row.wants_logits], dtype=torch.int64
            ),
        )


def _slot(row: TokenRow) -> int:
    return row.slot


def _prompt(row: TokenRow, end: int, dtype: torch.dtype) -> Prompt:
    new, length = len(row.tokens), row.start + len(row.tokens)
    mask = torch.full((new, length), -torch.inf, dtype=dtype).triu_(row.start + 1) if row.start else None
    return Prompt(slice(end + 1 - new, end + 1), slice(row.slot, row.slot + 1), length, mask)


def _runs(rows: Sequence[TokenRow], dtype: torch.dtype) -> list[DecodeRun]:
    runs: list[DecodeRun] = []
    begin = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or not _joins(rows[begin:end], rows[end]):
            runs.append(_run(rows[begin:end], begin, dtype))
            begin = end
    return runs


def _joins(run: Sequence[TokenRow], row: TokenRow) -> bool:
    if row.slot != run[-1].slot + 1:
        return False
    lengths = [member.start + 1 for member in (*run, row)]
    padding = max(lengths) * len(lengths) - sum(lengths)
    return padding <= sum(lengths) + _PADDING_ALLOWANCE_TOKENS


def _run(rows: Sequence[TokenRow], begin: int, dtype: torch.dtype) -> DecodeRun:
    starts = torch.tensor([row.start for row in rows])
    length = int(starts.max()) + 1
    mask = None
    if int(starts.min()) + 1 < length:
        hidden = torch.arange(length) > starts.unsqueeze(1)
        mask = torch.zeros(len(rows), 1, 1, length, dtype=dtype).masked_fill_(
            hidden[:, None, None], -torch.inf
        )
    return DecodeRun(slice(begin, begin + len(rows)), slice(rows[0].slot, rows[-1].slot + 1), length, mask)

"""From rows and columns to strips of 16 rows and back; moves codes, computes nothing.

A strip holds what one line of a kernel needs side by side: 16 rows times 4 columns are 64 bytes, one register
and one cache line. Two such blocks of 4-bit codes share a line, in its low and in its high nibbles.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from homeport.weights.kind import LANE_COLUMNS, STRIP_ROWS, WeightKind

_HIGH_NIBBLE = 4
_LOW_MASK = 0x0F

T = TypeVar("T", bound=np.generic)


def strip_count(rows: int) -> int:
    """Give the number of strips that so many rows take."""
    return -(-rows // STRIP_ROWS)


def pack_codes(kind: WeightKind, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put codes into strips.

    Args:
        kind: What they are.
        codes: [rows, cols], one code a byte; cols a multiple of 8, or of 4 where a code is a byte.

    Returns:
        [strips, cols / 8, 16, 4], or [strips, cols / 4, 16, 4]; rows past the end hold 0.
    """
    whole = _fill_up(codes)
    lines = whole.reshape(len(whole) // STRIP_ROWS, STRIP_ROWS, -1, kind.line_columns)
    if kind.bits == 4:  # noqa: PLR2004 - a nibble
        low, high = lines[..., :LANE_COLUMNS], lines[..., LANE_COLUMNS:]
        lines = np.bitwise_or(low, np.left_shift(high, np.uint8(_HIGH_NIBBLE)))
    return np.ascontiguousarray(lines.transpose(0, 2, 1, 3))


def unpack_codes(kind: WeightKind, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take codes out of strips: [strips * 16, cols], the reverse of :func:`pack_codes`."""
    strips, count, rows, lane = lines.shape
    codes = np.empty((strips, rows, count, kind.line_columns), np.uint8)
    by_row = lines.transpose(0, 2, 1, 3)
    if kind.bits == 4:  # noqa: PLR2004 - a nibble
        np.bitwise_and(by_row, _LOW_MASK, out=codes[..., :lane])
        np.right_shift(by_row, _HIGH_NIBBLE, out=codes[..., lane:])
    else:
        codes[...] = by_row
    return codes.reshape(strips * rows, count * kind.line_columns)


def pack_groups(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """Put scales or minima into strips: [rows, groups] to [strips, groups, 16]; past the end stands 0."""
    whole = _fill_up(values)
    strips = whole.reshape(len(whole) // STRIP_ROWS, STRIP_ROWS, -1)
    return np.ascontiguousarray(strips.transpose(0, 2, 1))


def unpack_groups(strips: NDArray[np.float16]) -> NDArray[np.float16]:
    """Take scales or minima out of strips: [strips * 16, groups]."""
    return strips.transpose(0, 2, 1).reshape(-1, strips.shape[1])


def _fill_up(values: NDArray[T]) -> NDArray[T]:
    """Add rows of zeros up to a whole strip."""
    missing = strip_count(len(values)) * STRIP_ROWS - len(values)
    return np.pad(values, ((0, missing), (0, 0))) if missing else values

"""Quantising: from numbers to packed matrices, block of rows by block of rows."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from homeport.weights.assembly import pack_blocks
from homeport.weights.kind import WeightKind
from homeport.weights.matrix import PackedMatrix, PlainCodes
from homeport.weights.scale_search import SIGNED_4_BITS, SIGNED_8_BITS, ScaleSearch

GROUPS = (32, 64)
"""Columns that can share a scale."""
DEFAULT_GROUP = 32
_RANGES = {WeightKind.Q4: SIGNED_4_BITS, WeightKind.Q8: SIGNED_8_BITS}


class Rows(Protocol):
    """A matrix whose rows can be had a few at a time: an array, or a reader of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.generic]:
        """Give some rows as floating-point numbers: [rows, cols]."""
        ...


def quantise_q4(
    values: Rows,
    *,
    group: int = DEFAULT_GROUP,
    importance: NDArray[np.float32] | None = None,
    threads: int = 1,
    name: str = "",
) -> PackedMatrix:
    """Pack a matrix into 4 bits a weight and a scale a group.

    Args:
        values: [rows, cols].
        group: Columns that share a scale, 32 or 64.
        importance: How much an error in each column counts, at least 0: [cols]. None is all alike.
        threads: How many work at once.
        name: Of the matrix, for errors.

    Raises:
        ValueError: It holds NaN, infinity or numbers beyond 524,032, or its columns make no whole groups.
    """
    return _quantise(WeightKind.Q4, values, group=group, importance=importance, threads=threads, name=name)


def quantise_q8(
    values: Rows,
    *,
    group: int = DEFAULT_GROUP,
    importance: NDArray[np.float32] | None = None,
    threads: int = 1,
    name: str = "",
) -> PackedMatrix:
    """Pack a matrix into 8 bits a weight and a scale a group; as :func:`quantise_q4`.

    Raises:
        ValueError: It holds NaN, infinity or numbers beyond 8,384,512, or its columns make no whole groups.
    """
    return _quantise(WeightKind.Q8, values, group=group, importance=importance, threads=threads, name=name)


def _quantise(
    kind: WeightKind,
    values: Rows,
    *,
    group: int,
    importance: NDArray[np.float32] | None,
    threads: int,
    name: str,
) -> PackedMatrix:
    rows, cols = values.shape
    if group not in GROUPS or cols % group or not cols or not rows:
        raise ValueError(
            f"tensor {name!r} of shape [{rows}, {cols}] cannot be packed in groups of {group}: "
            f"groups are of {' or '.join(map(str, GROUPS))}, and columns a multiple of them"
        )
    if importance is not None and (importance.shape != (cols,) or not np.all(importance >= 0)):
        raise ValueError(
            f"importance of {name!r} has shape {importance.shape} or is negative, expected [{cols}]"
        )

    def quantise(block: slice) -> PlainCodes:
        return _quantise_block(kind, values[block], group, importance)

    try:
        return pack_blocks(kind, (rows, cols), group, quantise, threads=threads)
    except ValueError as error:
        raise ValueError(f"tensor {name!r} cannot be packed: {error}") from error


def _quantise_block(
    kind: WeightKind, rows: NDArray[np.generic], group: int, importance: NDArray[np.float32] | None
) -> PlainCodes:
    values = rows.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError(f"it holds {values[~np.isfinite(values)][0]}, expected finite numbers")
    count, cols = values.shape
    # Groups side by side: sums over a group then run along whole rows of the array.
    grouped = np.ascontiguousarray(values.reshape(-1, group).T)
    weight = None if importance is None else np.tile(importance.reshape(-1, group).T, count)
    codes, scales = ScaleSearch(_RANGES[kind], grouped, weight).run()
    codes += kind.offset
    return PlainCodes(
        codes=np.ascontiguousarray(codes.astype(np.uint8).T).reshape(count, cols),
        scales=scales.reshape(count, cols // group),
        mins=None,
    )

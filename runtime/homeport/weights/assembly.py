"""Packed matrices put together block by block, by several threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from homeport.weights.kind import LANE_COLUMNS, STRIP_ROWS, WeightKind
from homeport.weights.matrix import PackedMatrix, PlainCodes
from homeport.weights.strips import pack_codes, pack_groups, strip_count

_BLOCK_WEIGHTS = 64 * 1024
"""Weights of one step of a thread: five buffers of 4 bytes each then stay in a cache of 1 MB or 2."""


def pack_blocks(
    kind: WeightKind,
    shape: tuple[int, int],
    group: int,
    plain: Callable[[slice], PlainCodes],
    *,
    threads: int = 1,
) -> PackedMatrix:
    """Pack a matrix of which only a few rows are at hand at a time.

    Args:
        kind: What its codes stand for.
        shape: Rows and columns.
        group: Columns that share a scale.
        plain: Gives some rows; called by several threads at once.
        threads: How many.
    """
    rows, cols = shape
    strips = strip_count(rows)
    codes = np.empty((strips, cols // kind.line_columns, STRIP_ROWS, LANE_COLUMNS), np.uint8)
    scales = np.empty((strips, cols // group, STRIP_ROWS), np.float16)
    mins = np.empty_like(scales) if kind.has_mins else None

    def work(block: slice) -> None:
        part = plain(block)
        place = slice(block.start // STRIP_ROWS, strip_count(block.stop))
        codes[place] = pack_codes(kind, part.codes)
        scales[place] = pack_groups(part.scales)
        if mins is not None and part.mins is not None:
            mins[place] = pack_groups(part.mins)

    if threads == 1:
        for block in _blocks(rows, cols):
            work(block)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, _blocks(rows, cols)):
                pass
    return PackedMatrix(kind=kind, rows=rows, codes=codes, scales=scales, mins=mins)


def _blocks(rows: int, cols: int) -> Iterator[slice]:
    """Cut rows into runs of whole strips."""
    step = max(_BLOCK_WEIGHTS // cols // STRIP_ROWS, 1) * STRIP_ROWS
    return (slice(begin, min(begin + step, rows)) for begin in range(0, rows, step))

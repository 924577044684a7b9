"""Matrices as ``MatMulNBits`` and ``GatherBlockQuantized`` take them.

Format: the operators' entries in onnxruntime's docs/ContribOperators.md. A weight is ``(code - 8) * scale``,
or ``(code - 128) * scale`` where a code is a byte. The operators' zero points are whole codes, which the
minima of ``WeightKind.Q4_MIN`` are not: blocks that have one get an *offset*, which is added to each of their
weights.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport import PullError
from homeport.checkpoint import REPAIR_HINT, Part
from homeport.weights import SIGNED_4_BITS, SIGNED_8_BITS, PlainCodes, ScaleSearch, WeightKind
from homeport_onnx.stored_weights import StoredWeights

BLOCKS = (16, 32, 64, 128, 256)
"""Columns that can share a scale."""
Arrays = tuple[NDArray[np.generic], ...]
"""Codes, scales and, where there are some, offsets of the same rows."""
_Ahead = deque[Future[Arrays]]
_BYTE_BITS = 8
_NIBBLE_BITS = 4
_WEIGHTS_AT_ONCE = 512 * 1024
"""What is converted at a time: it takes about ten arrays of its size."""


@attrs.frozen(kw_only=True)
class BlockForm:
    """How a matrix is quantised.

    Attributes:
        bits: Of a code, 4 or 8.
        block: Columns that share a scale.
        has_offsets: Something is added to the weights of each block.
    """

    bits: int
    block: int
    has_offsets: bool = False

    @property
    def middle(self) -> int:
        """The code that stands for 0."""
        return 1 << (self.bits - 1)

    def blocks(self, cols: int) -> int:
        """How many blocks a row has."""
        return cols // self.block

    def code_bytes(self, cols: int) -> int:
        """Bytes that the codes of a row take."""
        return cols * self.bits // _BYTE_BITS


class BlockCodes(NamedTuple):
    """Some rows in a form, code by code.

    Attributes:
        codes: uint8 [rows, cols].
        scales: float32 [rows, blocks].
        offsets: float32 [rows, blocks].
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32]


def stored_arrays(
    weights: StoredWeights, parts: Sequence[Part], form: BlockForm, *, unit: int = 1, threads: int = 1
) -> Iterator[Arrays]:
    """Convert matrices that lie below one another, some rows at a time.

    Args:
        weights: Where they are.
        parts: The matrices.
        form: What they become.
        unit: Rows that are not parted.
        threads: How many convert.

    Yields:
        Codes, uint8 [rows, code_bytes]; scales, float32 [rows, blocks]; and, where the form has them,
        offsets, float32 [rows, blocks].

    Raises:
        PullError: A matrix holds NaN, infinity, or numbers that cannot be packed.
    """

    def convert(part: Part, begin: int, end: int) -> Arrays:
        rows = block_codes(weights, part, form, (begin, end))
        arrays = (pack(rows.codes, form.bits), rows.scales)
        return (*arrays, rows.offsets) if form.has_offsets else arrays

    ahead = _Ahead()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            step = max(_WEIGHTS_AT_ONCE // part.shape[1] // unit, 1) * unit
            for begin in range(0, part.rows, step):
                ahead.append(pool.submit(convert, part, begin, min(begin + step, part.rows)))
                if len(ahead) > threads:
                    yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def block_codes(weights: StoredWeights, part: Part, form: BlockForm, rows: tuple[int, int]) -> BlockCodes:
    """Convert rows [begin, end) of a matrix.

    Codes of the store stay as they are where the form can hold them.

    Raises:
        PullError: It holds NaN, infinity, or numbers that cannot be packed.
    """
    begin, end = rows
    packed = weights.packed(part)
    if packed is not None and packed.group == form.block and packed.kind.bits <= form.bits:
        plain = packed.unpack(part.first_row + begin, part.first_row + end)
        _check_finite(part, plain.scales)
        _check_finite(part, plain.mins)
        return _kept(packed.kind, plain, form)
    values = weights.rows(part, begin, end)
    _check_finite(part, values)
    try:
        return _quantised(values, form)
    except ValueError as error:
        raise PullError(f"tensor {part.name!r} cannot be packed: {error}") from error


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Put codes into bytes, the first of two in the lower half: [rows, count * bits / 8, rounded up]."""
    if bits == _BYTE_BITS:
        return codes
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    packed: NDArray[np.uint8] = codes[:, 0::2] | (codes[:, 1::2] << np.uint8(_NIBBLE_BITS))
    return packed


def _check_finite(part: Part, values: NDArray[np.floating] | None) -> None:
    if values is not None and not np.isfinite(values).all():
        worst = values[~np.isfinite(values)][0]
        raise PullError(f"tensor {part.name!r} holds {worst}, expected finite numbers", hint=REPAIR_HINT)


def _kept(kind: WeightKind, plain: PlainCodes, form: BlockForm) -> BlockCodes:
    scales = plain.scales.astype(np.float32)
    stored_middle = 1 << (kind.bits - 1)
    codes = plain.codes + np.uint8(form.middle - stored_middle)
    if plain.mins is None:
        return BlockCodes(codes, scales, np.zeros_like(scales))
    return BlockCodes(codes, scales, plain.mins + np.float32(stored_middle) * scales)


def _quantised(values: NDArray[np.float32], form: BlockForm) -> BlockCodes:
    rows, cols = values.shape
    code_range = SIGNED_8_BITS if form.bits == _BYTE_BITS else SIGNED_4_BITS
    # Blocks side by side: sums over a block then run along whole rows of the array.
    grouped = np.ascontiguousarray(values.reshape(-1, form.block).T)
    codes, scales = ScaleSearch(code_range, grouped, None).run()
    codes += form.middle
    blocks = (rows, form.blocks(cols))
    return BlockCodes(
        codes=np.ascontiguousarray(codes.astype(np.uint8).T).reshape(rows, cols),
        scales=scales.astype(np.float32).reshape(blocks),
        offsets=np.zeros(blocks, np.float32),
    )

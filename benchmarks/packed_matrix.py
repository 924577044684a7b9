"""Packed matrices of random codes, many copies of each, in memory as native/abi.h describes it."""

from typing import Any, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport_transformers.native_library import Kind, Matrix

CODE_BITS = {Kind.Q8: 8, Kind.Q4: 4, Kind.Q4_MIN: 4}
_STRIP_ROWS = 16
_LINE_BYTES = 64
_COPIES_BYTES = 512 * 1024**2
"""More than any cache holds."""
_SCALE = 0.01
_MIN = -0.08


def copies_of(size_bytes: int) -> int:
    """Say how many copies of a matrix no cache holds together."""
    return max(2, _COPIES_BYTES // size_bytes)


@attrs.frozen(kw_only=True)
class PackedMatrix:
    """A matrix and the memory that it lies in."""

    native: Matrix
    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    mins: NDArray[np.float16] | None

    @classmethod
    def copies(cls, kind: Kind, outputs: int, inputs: int, group: int) -> list[Self]:
        """Draw codes once and copy them often; time depends on neither codes nor scales."""
        rows = -(-outputs // _STRIP_ROWS) * _STRIP_ROWS
        codes = np.random.default_rng(0).integers(0, 256, rows * inputs * CODE_BITS[kind] // 8, np.uint8)
        scales = np.full(rows * inputs // group, _SCALE, np.float16)
        mins = np.full_like(scales, _MIN) if kind is Kind.Q4_MIN else None
        count = copies_of(codes.nbytes + scales.nbytes)
        return [cls._placed(Matrix(kind, outputs, inputs, group), codes, scales, mins) for _ in range(count)]

    @classmethod
    def _placed(
        cls,
        native: Matrix,
        codes: NDArray[np.uint8],
        scales: NDArray[np.float16],
        mins: NDArray[np.float16] | None,
    ) -> Self:
        codes, scales = _aligned(codes), _aligned(scales)
        native.codes, native.scales = codes.ctypes.data, scales.ctypes.data
        if mins is not None:
            mins = _aligned(mins)
            native.mins = mins.ctypes.data
        return cls(native=native, codes=codes, scales=scales, mins=mins)

    @property
    def size_bytes(self) -> int:
        """Count the bytes that a product reads."""
        return self.codes.nbytes + self.scales.nbytes + (0 if self.mins is None else self.mins.nbytes)


def _aligned(values: NDArray[Any]) -> NDArray[Any]:
    """Copy an array to memory that begins at a cache line, as stored tensors do."""
    room = np.empty(values.nbytes + _LINE_BYTES, np.uint8)
    begin = -room.ctypes.data % _LINE_BYTES
    copied = room[begin : begin + values.nbytes].view(values.dtype)
    copied[:] = values
    return copied

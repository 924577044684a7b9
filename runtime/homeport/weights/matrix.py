"""A packed matrix in memory."""

from typing import NamedTuple, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.weights.kind import LANE_COLUMNS, STRIP_ROWS, WeightKind
from homeport.weights.strips import pack_codes, pack_groups, strip_count, unpack_codes, unpack_groups


class PlainCodes(NamedTuple):
    """The content of a packed matrix by rows and columns.

    Attributes:
        codes: uint8 [rows, cols].
        scales: float16 [rows, cols / group].
        mins: float16 [rows, cols / group]; None where its kind has none.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    mins: NDArray[np.float16] | None


@attrs.frozen(kw_only=True, eq=False)
class PackedMatrix:
    """Weights of one linear layer or embedding; rows are outputs, columns inputs.

    Its arrays have the layout of ``HpMatrix`` in ``plugins/homeport_transformers/native/abi.h`` and may be
    mapped from a file.

    Attributes:
        kind: What the codes stand for.
        rows: Rows in use; the last strip is filled up.
        codes: uint8 [strips, cols / 8, 16, 4], or [strips, cols / 4, 16, 4] where a code is a byte.
        scales: float16 [strips, cols / group, 16].
        mins: float16 like the scales; None where the kind has none.

    Raises:
        ValueError: Shapes or types contradict each other.
    """

    kind: WeightKind
    rows: int
    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    mins: NDArray[np.float16] | None = None

    def __attrs_post_init__(self) -> None:
        strips, lines, *line = self.codes.shape
        if line != [STRIP_ROWS, LANE_COLUMNS] or strips != strip_count(self.rows):
            raise ValueError(f"codes of {self.rows} rows have shape {self.codes.shape}")
        groups = self.scales.shape[1] if self.scales.ndim == 3 else 0  # noqa: PLR2004 - axes
        cols = lines * self.kind.line_columns
        if self.scales.shape != (strips, groups, STRIP_ROWS) or not groups or cols % groups:
            raise ValueError(f"scales of {self.rows} rows and {cols} columns have shape {self.scales.shape}")
        if self.kind.has_mins != (self.mins is not None):
            has = "lacks" if self.mins is None else "has"
            raise ValueError(f"a matrix of kind {self.kind.value} {has} mins")
        if self.mins is not None and self.mins.shape != self.scales.shape:
            raise ValueError(f"mins have shape {self.mins.shape}, scales {self.scales.shape}")
        if self.codes.dtype != np.uint8 or self.scales.dtype != np.float16:
            raise ValueError(f"codes are {self.codes.dtype} and scales {self.scales.dtype}")

    @classmethod
    def pack(cls, kind: WeightKind, plain: PlainCodes) -> Self:
        """Put codes into strips.

        Args:
            kind: What they stand for.
            plain: The columns are a multiple of 8, or of 4 where a code is a byte.

        Raises:
            ValueError: Shapes contradict each other.
        """
        codes, scales, mins = plain
        if codes.ndim != 2 or codes.shape[1] % kind.line_columns:  # noqa: PLR2004 - axes
            raise ValueError(f"codes have shape {codes.shape}, columns go in {kind.line_columns}s")
        return cls(
            kind=kind,
            rows=len(codes),
            codes=pack_codes(kind, codes),
            scales=pack_groups(scales),
            mins=None if mins is None else pack_groups(mins),
        )

    @property
    def cols(self) -> int:
        """Columns."""
        lines: int = self.codes.shape[1]
        return lines * self.kind.line_columns

    @property
    def group(self) -> int:
        """Columns that share a scale."""
        groups: int = self.scales.shape[1]
        return self.cols // groups

    @property
    def size_bytes(self) -> int:
        """Bytes of its arrays."""
        return self.codes.nbytes + self.scales.nbytes + (0 if self.mins is None else self.mins.nbytes)

    def unpack(self, begin: int = 0, end: int | None = None) -> PlainCodes:
        """Take rows [begin, end) out of the strips; all of them where no end is given."""
        end = self.rows if end is None else end
        strips = slice(begin // STRIP_ROWS, strip_count(end))
        rows = slice(begin % STRIP_ROWS, begin % STRIP_ROWS + end - begin)
        return PlainCodes(
            codes=unpack_codes(self.kind, self.codes[strips])[rows],
            scales=unpack_groups(self.scales[strips])[rows],
            mins=None if self.mins is None else unpack_groups(self.mins[strips])[rows],
        )

    def dequantise(self, begin: int = 0, end: int | None = None) -> NDArray[np.float32]:
        """Give rows [begin, end) as numbers: float32 [rows, cols].

        Products of codes and scales are exact in float32; adding a minimum rounds once.
        """
        codes, scales, mins = self.unpack(begin, end)
        values = codes.astype(np.float32).reshape(*scales.shape, self.group)
        values -= np.float32(self.kind.offset)
        values *= scales.astype(np.float32)[..., None]
        if mins is not None:
            values += mins.astype(np.float32)[..., None]
        return values.reshape(codes.shape)

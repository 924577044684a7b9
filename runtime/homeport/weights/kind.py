"""What the codes of a packed matrix stand for."""

from enum import Enum

STRIP_ROWS = 16
"""Rows that lie side by side in a packed matrix; the last strip is filled up."""
LANE_COLUMNS = 4
"""Columns of one row that lie side by side: what one ``vpdpbusd`` multiplies."""


class WeightKind(Enum):
    """How a packed matrix is stored; the value names it in figures and messages.

    Attributes:
        bits: Of one code, 4 or 8.
        offset: The code that stands for 0; 0 where a minimum is added instead.
        has_mins: Whether each group has a minimum besides its scale.
    """

    Q8 = "q8"
    """Codes 0 to 255 stand for ``(code - 128) * scale``."""
    Q4 = "q4"
    """Codes 0 to 15 stand for ``(code - 8) * scale``."""
    Q4_MIN = "q4-min"
    """Codes 0 to 15 stand for ``code * scale + min``."""

    @property
    def bits(self) -> int:
        """Bits of one code."""
        return 8 if self is WeightKind.Q8 else 4

    @property
    def has_mins(self) -> bool:
        """Whether a group has a minimum."""
        return self is WeightKind.Q4_MIN

    @property
    def offset(self) -> int:
        """What is taken off a code before it is scaled."""
        return 0 if self.has_mins else 1 << (self.bits - 1)

    @property
    def line_columns(self) -> int:
        """Columns in the 64 bytes that hold them for a whole strip of rows: 8, or 4 of a byte each."""
        return LANE_COLUMNS * 8 // self.bits

"""A weight as its source has it, whatever the format."""

import math
from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.weights import DEFAULT_GROUP, PackedMatrix, Rows, WeightKind

FLOATS = frozenset({"F32", "F16", "BF16"})
"""Number formats, as safetensors spells them, that can be turned into one another and be packed."""


@attrs.frozen(kw_only=True, eq=False)
class SourceWeight:
    """One tensor of a model, read when it is asked for.

    Attributes:
        name: In the result.
        dtype: Number format: as safetensors spells it, or the name of a quantised one.
        shape: Of the weight.
        values: Gives it as it is stored, bfloat16 as uint16.
        rows: Gives rows of it as floating-point numbers.
        stored_bytes: What it takes in the source.
        kind: The packed form that holds what a quantised source says; None for all others.
        group: Columns that share a scale in that form.
        packed: Gives that form.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Callable[[], NDArray[np.generic]]
    rows: Callable[[], Rows]
    stored_bytes: int
    kind: WeightKind | None = None
    group: int = DEFAULT_GROUP
    packed: Callable[[], PackedMatrix] | None = None

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether it is stored as floating-point numbers."""
        return self.dtype in FLOATS


@attrs.frozen(eq=False)
class ConvertedRows:
    """Rows of a matrix, converted when they are asked for.

    Attributes:
        stored: [rows, ...] as they are stored.
        convert: Makes floating-point numbers of some of them: [rows, cols].
        cols: Columns of the result.
    """

    stored: NDArray[np.generic]
    convert: Callable[[NDArray[np.generic]], NDArray[np.generic]]
    cols: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return len(self.stored), self.cols

    def __getitem__(self, rows: slice, /) -> NDArray[np.generic]:
        """Convert some rows."""
        return self.convert(self.stored[rows])

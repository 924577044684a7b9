"""Packed matrices in safetensors files: which tensors make one, and how they are recognised.

A weight ``NAME`` of a model is stored as ``NAME.q4`` or ``NAME.q8`` with ``NAME.scales``, and ``NAME.mins``
where its groups have minima. ``docs/reference/weights.md`` describes the form.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.weights.kind import LANE_COLUMNS, STRIP_ROWS, WeightKind
from homeport.weights.matrix import PackedMatrix
from homeport.weights.strips import strip_count

FORMAT_KEY = "homeport_weights"
"""In a file's metadata: the version of this form. A file without it holds no packed tensors."""
FORMAT_VERSION = "1"
ROWS_KEY = "homeport_rows"
"""In a file's metadata: JSON, the rows of each packed weight whose last strip is not full."""

_CODES_4 = ".q4"
_CODES_8 = ".q8"
_SCALES = ".scales"
_MINS = ".mins"
_CODES: Mapping[str, int] = MappingProxyType({_CODES_4: 4, _CODES_8: 8})
_CODES_DTYPE = "U8"
_GROUP_DTYPE = "F16"


@attrs.frozen
class StoredShape:
    """Number format, as safetensors spells it, and shape of one tensor of a file."""

    dtype: str
    shape: tuple[int, ...]


@attrs.frozen(kw_only=True)
class PackedTensor:
    """A packed matrix as the head of a file describes it.

    Attributes:
        kind: What its codes stand for.
        rows: Rows in use.
        cols: Columns.
        group: Columns that share a scale.
        codes: Name of the tensor of codes.
        scales: Name of the tensor of scales.
        mins: Name of the tensor of minima; None where there is none.
    """

    kind: WeightKind
    rows: int
    cols: int
    group: int
    codes: str
    scales: str
    mins: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of all its tensors."""
        return (self.codes, self.scales) if self.mins is None else (self.codes, self.scales, self.mins)


def stored_parts(name: str, matrix: PackedMatrix) -> dict[str, NDArray[np.generic]]:
    """Give the tensors that a packed weight is stored as, by name."""
    codes = _CODES_8 if matrix.kind is WeightKind.Q8 else _CODES_4
    parts: dict[str, NDArray[np.generic]] = {name + codes: matrix.codes, name + _SCALES: matrix.scales}
    if matrix.mins is not None:
        parts[name + _MINS] = matrix.mins
    return parts


def stored_shapes(name: str, kind: WeightKind, shape: tuple[int, int], group: int) -> dict[str, StoredShape]:
    """Give number formats and shapes of the tensors that a weight of [rows, cols] will be stored as."""
    rows, cols = shape
    strips = strip_count(rows)
    codes = StoredShape(_CODES_DTYPE, (strips, cols // kind.line_columns, STRIP_ROWS, LANE_COLUMNS))
    groups = StoredShape(_GROUP_DTYPE, (strips, cols // group, STRIP_ROWS))
    suffix = _CODES_8 if kind is WeightKind.Q8 else _CODES_4
    shapes = {name + suffix: codes, name + _SCALES: groups}
    return {**shapes, name + _MINS: groups} if kind.has_mins else shapes


def write_metadata(rows: Mapping[str, int]) -> dict[str, str]:
    """Give the metadata of a file.

    Args:
        rows: Of each packed weight.
    """
    partial = {name: count for name, count in rows.items() if count % STRIP_ROWS}
    metadata = {FORMAT_KEY: FORMAT_VERSION}
    return {**metadata, ROWS_KEY: json.dumps(partial, sort_keys=True)} if partial else metadata


def find_packed(
    tensors: Mapping[str, StoredShape], metadata: Mapping[str, str] | None
) -> Mapping[str, PackedTensor]:
    """Recognise the packed weights of a file by its head.

    Args:
        tensors: All of its tensors.
        metadata: Its ``__metadata__``; None where it has none.

    Returns:
        By the names of the weights.

    Raises:
        ValueError: It has another version, or tensors that contradict each other.
    """
    version = (metadata or {}).get(FORMAT_KEY)
    if metadata is None or version is None:
        return {}
    if version != FORMAT_VERSION:
        raise ValueError(f"packed weights have version {version!r}, this homeport reads {FORMAT_VERSION!r}")
    partial = _partial_rows(metadata.get(ROWS_KEY, "{}"))
    found = {}
    for codes in tensors:
        name, suffix = codes[: -len(_CODES_4)], codes[-len(_CODES_4) :]
        if suffix in _CODES:
            found[name] = _packed(name, codes, tensors, partial)
    strange = set(partial) - set(found)
    if strange:
        raise ValueError(f"{ROWS_KEY} names {min(strange)!r:.80}, which is not packed")
    return found


def _packed(
    name: str, codes: str, tensors: Mapping[str, StoredShape], partial: Mapping[str, int]
) -> PackedTensor:
    bits = _CODES[codes.removeprefix(name)]
    mins = name + _MINS if name + _MINS in tensors else None
    kind = WeightKind.Q8 if bits == 8 else WeightKind.Q4 if mins is None else WeightKind.Q4_MIN  # noqa: PLR2004
    stored, scales = tensors[codes], tensors.get(name + _SCALES)
    strips, lines, *line = stored.shape if len(stored.shape) == 4 else (0, 0)  # noqa: PLR2004 - axes
    rows, cols = partial.get(name, strips * STRIP_ROWS), lines * kind.line_columns
    if stored.dtype != _CODES_DTYPE or line != [STRIP_ROWS, LANE_COLUMNS] or not rows or not cols:
        raise ValueError(f"codes {codes!r:.80} are {stored.dtype} of shape {list(stored.shape)}")
    if name in tensors or (mins is not None and kind is WeightKind.Q8) or strip_count(rows) != strips:
        raise ValueError(f"weight {name!r:.80} is stored twice, has mins beside 8 bits, or {rows} rows")
    groups = scales.shape[1] if scales is not None and len(scales.shape) == 3 else 0  # noqa: PLR2004 - axes
    expected = StoredShape(_GROUP_DTYPE, (strips, groups, STRIP_ROWS))
    if not groups or cols % groups or scales != expected or tensors.get(name + _MINS, expected) != expected:
        raise ValueError(f"scales or mins of {name!r:.80} do not fit {rows} rows and {cols} columns")
    return PackedTensor(
        kind=kind, rows=rows, cols=cols, group=cols // groups, codes=codes, scales=name + _SCALES, mins=mins
    )


def _partial_rows(text: str) -> dict[str, int]:
    rows = json.loads(text)
    if not isinstance(rows, dict) or not all(type(count) is int and count > 0 for count in rows.values()):
        raise ValueError(f"{ROWS_KEY} is {text!r:.80}, expected an object of numbers of rows")
    return rows

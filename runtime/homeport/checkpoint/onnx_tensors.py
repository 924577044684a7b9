"""Where the values of an ONNX file's tensors lie: checked before anything is read or allocated.

Format: ``TensorProto`` in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, and
https://github.com/onnx/onnx/blob/main/docs/ExternalData.md.
"""

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import attrs

from homeport.checkpoint.folder import REPAIR_HINT
from homeport.checkpoint.protobuf import Messages, Span, Value, message, number, written_bytes
from homeport.domain.errors import LoadError

STRING = "string"
DTYPES: Mapping[int, str] = MappingProxyType(
    {
        1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: STRING,
        9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
        15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2",
        20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1", 24: "float8_e8m0",
    }
)  # fmt: skip
"""Types of elements by their number in the file; texts have no fixed size."""
_BITS: Mapping[str, int] = MappingProxyType(
    {
        "float32": 32, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "int32": 32, "int64": 64, "bool": 8,
        "float16": 16, "float64": 64, "uint32": 32, "uint64": 64, "complex64": 64, "complex128": 128,
        "bfloat16": 16, "float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8, "float8_e5m2fnuz": 8,
        "uint4": 4, "int4": 4, "float4_e2m1": 4, "float8_e8m0": 8,
    }
)  # fmt: skip
_DIMS, _TYPE, _SEGMENT, _NAME, _RAW, _OUTSIDE, _WHERE = 1, 2, 3, 8, 9, 13, 14
_TYPED_DATA = frozenset({4, 5, 6, 7, 10, 11})
"""Fields with values one by one: float_data, int32_data, string_data, int64_data and so on."""
_REPEATED = frozenset({_DIMS, _OUTSIDE, *_TYPED_DATA, 16})
_KEY, _VALUE = 1, 2
_LARGEST = 2**63 - 1
_COPIES = 2
"""How often a byte outside may be named: exporters name a matrix that is embedding and output twice."""
_MOST_AXES = 64
_LONGEST_LOCATION = 255
_LONGEST_DIGITS = 19
"""Of a number up to 2**63 - 1."""
_OUTSIDE_HINT = "Choose an export whose data lies beside model.onnx, in its folder"


@attrs.frozen
class OnnxTensor:
    """A tensor of a file.

    Attributes:
        name: Its name, which may be empty.
        dtype: Type of its elements.
        shape: Its shape.
        place: File outside and offset where it begins; None for one that lies inside.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: tuple[str, int] | None = None

    @property
    def elements(self) -> int:
        """How many it has."""
        return math.prod(self.shape)


@attrs.frozen(kw_only=True)
class _Outside:
    """The part of a file that holds a tensor; ``length`` is None where the file does not say."""

    location: str
    offset: int = 0
    length: int | None = None


class OnnxTensors:
    """Checks the tensors of one model.

    Args:
        messages: Its file.
        folder: Where its data outside of it must be.
    """

    def __init__(self, messages: Messages, folder: Path) -> None:
        self._messages = messages
        self._folder = folder
        self._sizes: dict[Path, int] = {}
        self._found: dict[str, Path] = {}
        self.inside_bytes = 0
        self.outside_bytes = 0
        self._places: dict[tuple[str, int], int] = {}

    @property
    def locations(self) -> tuple[str, ...]:
        """Files outside that hold tensors, relative to the folder."""
        return tuple(self._found)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all tensors, with those that begin at the same place outside counted once."""
        return self.inside_bytes + sum(self._places.values())

    def check(self, span: Span) -> OnnxTensor:
        """Check one tensor.

        Raises:
            LoadError: Its shape, type or place is impossible or not allowed.
        """
        single: dict[int, Value] = {}
        dims: list[int] = []
        entries: list[Span] = []
        typed_bytes = 0
        for field, value in self._messages.fields(span):
            if field == _DIMS:
                dims.extend(self._messages.numbers(value))
            elif field == _OUTSIDE:
                entries.append(message(value))
            elif field in _TYPED_DATA:
                typed_bytes += written_bytes(value)
            elif field in single or field == _SEGMENT:
                raise _impossible("a tensor", f"has its field {field} twice or in parts")
            elif field not in _REPEATED:
                single[field] = value
        name = self._messages.text(single[_NAME]) if _NAME in single else ""
        shown = f"tensor {name!r:.80}"
        dtype = DTYPES.get(number(single.get(_TYPE, 0)), "")
        size = _size(shown, dtype, dims)
        place = None
        if entries or number(single.get(_WHERE, 0)):
            if _RAW in single or typed_bytes:
                raise _impossible(shown, "lies inside the file and outside of it")
            outside = self._outside(shown, entries)
            self._check_outside(shown, size, outside)
            place = (outside.location, outside.offset)
        else:
            self._check_inside(shown, dtype, math.prod(dims), single.get(_RAW), typed_bytes)
        return OnnxTensor(name, dtype, tuple(dims), place)

    def check_total(self) -> None:
        """Check what all tensors claim together.

        Raises:
            LoadError: It is more than their files hold.
        """
        held = sum(self._sizes.values())
        if self.outside_bytes > _COPIES * held:
            raise LoadError(
                f"its tensors claim {self.outside_bytes} bytes outside of it, expected at most {_COPIES} "
                f"times the {held} that are there",
                hint=REPAIR_HINT,
            )

    def _check_inside(
        self, shown: str, dtype: str, elements: int, raw: Value | None, typed_bytes: int
    ) -> None:
        if raw is None:
            # Each element takes a byte or more, two in one for those of 4 bits.
            if elements > 2 * typed_bytes:
                raise _impossible(shown, f"has {elements} elements in {typed_bytes} bytes")
            self.inside_bytes += typed_bytes
            return
        begin, end = message(raw)
        if dtype == STRING or typed_bytes or end - begin != _bytes(elements, dtype):
            raise _impossible(
                shown, f"of type {dtype} has {elements} elements in {end - begin + typed_bytes} bytes"
            )
        self.inside_bytes += end - begin

    def _outside(self, shown: str, entries: list[Span]) -> _Outside:
        said: dict[str, str] = {}
        for entry in entries:
            parts = {field: self._messages.text(value) for field, value in self._messages.fields(entry)}
            key = parts.get(_KEY, "")
            if key in said:
                raise _impossible(shown, f"says {key!r:.40} twice")
            said[key] = parts.get(_VALUE, "")
        length = said.get("length")
        return _Outside(
            location=said.get("location", ""),
            offset=_count(shown, "offset", said.get("offset", "0")),
            length=None if length is None else _count(shown, "length", length),
        )

    def _check_outside(self, shown: str, size: int | None, outside: _Outside) -> None:
        if size is None:
            raise _impossible(shown, "lies outside and has elements without a fixed size")
        if outside.length is not None and outside.length != size:
            raise _impossible(shown, f"has a length of {outside.length} bytes, expected {size} by its shape")
        held = self._held(shown, outside.location)
        if outside.offset + size > held:
            raise LoadError(
                f"{shown} ends at byte {outside.offset + size} of {outside.location!r}, which has {held}",
                hint=REPAIR_HINT,
            )
        self.outside_bytes += size
        place = (outside.location, outside.offset)
        self._places[place] = max(size, self._places.get(place, 0))

    def _held(self, shown: str, location: str) -> int:
        """Give the size of a file outside, which must be a regular one inside the folder."""
        if location not in self._found:
            try:
                found = _inside(self._folder, location)
                self._sizes[found] = found.stat().st_size
            except (ValueError, OSError, RuntimeError) as error:  # the last for a circle of links
                fault = str(error) if isinstance(error, ValueError) else "is not there"
                raise LoadError(
                    f"{shown} lies in {location!r:.80}, which {fault}; expected a file in the model's folder",
                    hint=_OUTSIDE_HINT,
                ) from error
            self._found[location] = found
        return self._sizes[self._found[location]]


def _inside(folder: Path, location: str) -> Path:
    """Give the file that a location names; ValueError says why it may not be read."""
    path = PurePosixPath(location)
    if not location or len(location) > _LONGEST_LOCATION or not location.isprintable():
        raise ValueError("is no path")
    if path.is_absolute() or "\\" in location or ":" in location:
        raise ValueError("is no relative path")
    if ".." in path.parts:
        raise ValueError("leads out of the folder")
    found = (folder / path).resolve(strict=True)
    if not found.is_relative_to(folder.resolve()):
        raise ValueError("is a link out of the folder")
    if not found.is_file():
        raise ValueError("is no regular file")
    return found


def _size(shown: str, dtype: str, dims: list[int]) -> int | None:
    """Give the bytes of a tensor; None where its type has no size."""
    if not dtype:
        raise _impossible(shown, "has no known type")
    if len(dims) > _MOST_AXES or any(dim < 0 for dim in dims):
        raise _impossible(
            shown, f"has the shape {dims!r:.80}, expected up to {_MOST_AXES} sizes of 0 or more"
        )
    size = None if dtype == STRING else _bytes(math.prod(dims), dtype)
    if (size or math.prod(dims)) > _LARGEST:
        raise _impossible(shown, f"has the shape {dims!r:.80}, which is more than any file holds")
    return size


def _bytes(elements: int, dtype: str) -> int:
    return -(-elements * _BITS[dtype] // 8)


def _count(shown: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_DIGITS):
        raise _impossible(shown, f"says its {key} is {text!r:.40}, expected a whole number of 0 or more")
    return int(text)


def _impossible(shown: str, fault: str) -> LoadError:
    return LoadError(f"{shown} {fault}", hint=REPAIR_HINT)

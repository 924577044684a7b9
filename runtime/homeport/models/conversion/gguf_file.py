"""Reading GGUF files without trusting them.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little endian. The
``gguf`` package reads counts as they stand in the file and needs 1.6 s for the header of a model of 49,152
tokens; this reader checks each count and size against what the file can hold, and needs a tenth of it.
"""

import math
import mmap
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import attrs
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from homeport.domain.errors import PullError

_MAGIC = b"GGUF"
_VERSIONS = frozenset({2, 3})
_DEFAULT_ALIGNMENT = 32
_MAX_DIMENSIONS = 4
_MAX_HEAD_BYTES = 128 * 1024**2
"""The largest vocabularies make heads of about 20 MB."""
_MIN_FIELD_BYTES = 8 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8
_FLOAT32 = 6
_STRING = 8
_ARRAY = 9
_BOOL = 7
_NUMBERS: Mapping[int, str] = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
)
"""Value types of the format, as ``struct`` names them."""

Scalar = str | int | float | bool
Field = Scalar | list[Scalar]


@attrs.frozen(kw_only=True)
class GgufTensor:
    """Where a tensor lies.

    Attributes:
        name: As in the file: ``blk.0.attn_q.weight``.
        shape: Rows first, as numpy has it (the file has it the other way round).
        kind: Number format.
        offset: First byte in the file.
        size: Bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int
    size: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


class GgufFile:
    """An open file, mapped; its fields and where its tensors lie.

    Attributes:
        fields: All metadata.
        tensors: By name.

    Raises:
        PullError: It is no GGUF file, it is cut short, or it counts more than it can hold.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if path.stat().st_size < len(_MAGIC):
                raise PullError(f"{path.name} is not a GGUF file: it has {path.stat().st_size} bytes")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = _Header(self._map, path.name)
        self.fields: Mapping[str, Field] = header.fields
        self.tensors: Mapping[str, GgufTensor] = header.tensors

    def raw(self, tensor: GgufTensor) -> NDArray[np.uint8]:
        """Bytes of a tensor as they lie in the file."""
        return np.frombuffer(self._map, np.uint8, count=tensor.size, offset=tensor.offset)


class _Header:
    """Walks through the head of a file once; every step checks that it stays inside.

    A float32 is read as the shortest decimal that means it: 1e-05, not 9.999999747378752e-06.
    """

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data = data
        self._name = name
        self._position = len(_MAGIC)
        self._end = min(len(data), _MAX_HEAD_BYTES)
        if data[: len(_MAGIC)] != _MAGIC:
            raise self._broken("it does not begin with the letters GGUF")
        version = self._number("I")
        if version not in _VERSIONS:
            raise self._broken(f"version {version}, supported are 2 and 3 in little endian")
        tensor_count = self._count("tensors", _MIN_TENSOR_BYTES)
        field_count = self._count("fields", _MIN_FIELD_BYTES)
        self.fields = self._read_fields(field_count)
        self.tensors = self._read_tensors(tensor_count)

    def _read_fields(self, count: int) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        for _ in range(count):
            key = self._string()
            if key in fields:
                raise self._broken(f"field {key!r:.80} is there twice")
            kind = self._number("I")
            fields[key] = self._array() if kind == _ARRAY else self._scalar_reader(kind)()
        return fields

    def _read_tensors(self, count: int) -> dict[str, GgufTensor]:
        infos = [self._tensor_info() for _ in range(count)]
        alignment = self.fields.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self._broken(f"alignment {alignment!r}, expected a power of two")
        start = -(-self._position // alignment) * alignment
        tensors: dict[str, GgufTensor] = {}
        end = start
        for info in sorted(infos, key=lambda tensor: tensor.offset):
            tensor = attrs.evolve(info, offset=start + info.offset)
            if tensor.name in tensors or tensor.offset < end:
                raise self._broken(f"tensor {tensor.name!r:.80} is there twice or overlaps another")
            end = tensor.offset + tensor.size
            if end > len(self._data):
                raise self._broken(
                    f"tensor {tensor.name!r:.80} ends at byte {end} of {len(self._data)}: cut short?"
                )
            tensors[tensor.name] = tensor
        return tensors

    def _tensor_info(self) -> GgufTensor:
        name = self._string()
        dimensions = self._number("I")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise self._broken(
                f"tensor {name!r:.80} has {dimensions} dimensions, allowed are 1 to {_MAX_DIMENSIONS}"
            )
        shape = tuple(reversed([self._number("Q") for _ in range(dimensions)]))
        kind_number = self._number("I")
        offset = self._number("Q")
        try:
            kind = GGMLQuantizationType(kind_number)
        except ValueError:
            raise self._broken(f"tensor {name!r:.80} has the unknown number format {kind_number}") from None
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            raise self._broken(
                f"tensor {name!r:.80} has shape {shape}, {kind.name} needs rows of a multiple of {block}"
            )
        size = math.prod(shape) // block * block_bytes
        return GgufTensor(name=name, shape=shape, kind=kind, offset=offset, size=size)

    def _array(self) -> Field:
        kind = self._number("I")
        if kind == _STRING:
            return [self._string() for _ in range(self._count("texts", 8))]
        if kind not in _NUMBERS:
            raise self._broken(f"an array holds values of the unknown or nested type {kind}")
        code = _NUMBERS[kind]
        count = self._count("values", struct.calcsize(code))
        values = struct.unpack_from(f"<{count}{code}", self._data, self._take(count * struct.calcsize(code)))
        return [bool(value) for value in values] if kind == _BOOL else list(values)

    def _scalar_reader(self, kind: int) -> Callable[[], Scalar]:
        if kind == _STRING:
            return self._string
        if kind == _BOOL:
            return lambda: bool(self._number("B"))
        if kind == _FLOAT32:
            return lambda: float(str(np.float32(self._number("f"))))
        if kind not in _NUMBERS:
            raise self._broken(f"a field has the unknown type {kind}")
        return lambda: self._number(_NUMBERS[kind])

    def _string(self) -> str:
        length = self._count("bytes of a text", 1)
        start = self._take(length)
        return self._data[start : start + length].decode("utf-8", errors="replace")

    def _count(self, what: str, least_bytes: int) -> int:
        """Read a count of things that take at least so many bytes each."""
        count = self._number("Q")
        left = self._end - self._position
        if count * least_bytes > left:
            raise self._broken(f"it counts {count} {what} where {left} bytes are left")
        return count

    def _number(self, code: str) -> int:
        number: int = struct.unpack_from(f"<{code}", self._data, self._take(struct.calcsize(code)))[0]
        return number

    def _take(self, length: int) -> int:
        """Step over bytes and give the position of the first."""
        start = self._position
        if start + length > self._end:
            raise self._broken(
                f"its head goes on at byte {self._end}, where it is cut short or beyond any bound"
            )
        self._position = start + length
        return start

    def _broken(self, why: str) -> PullError:
        return PullError(
            f"{self._name} is not a usable GGUF file: {why}", hint="download it again, or ask for another"
        )

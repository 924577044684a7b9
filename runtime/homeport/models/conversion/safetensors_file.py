"""safetensors files: written tensor by tensor, read only as far as their head.

Format: https://github.com/huggingface/safetensors#format. The library's writer wants all tensors in
memory at once, four bytes a weight; this one holds one weight.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.domain.errors import PullError

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_ALIGNMENT_BYTES = 64
"""A cache line: where the data begins, and every tensor whose size is a multiple of it."""
_LENGTH_BYTES = 8
_MAX_HEAD_BYTES = 100 * 1024**2
"""The library's own bound."""
_ELEMENT_BITS: Mapping[str, int] = MappingProxyType(
    {
        "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
        "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
    }
)  # fmt: skip


@attrs.frozen
class TensorPlan:
    """A tensor to be written: its name, number format as safetensors spells it, and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * _ELEMENT_BITS[self.dtype] // 8

    @property
    def alignment(self) -> int:
        """Largest power of two that its size is a multiple of, up to a cache line."""
        return math.gcd(self.size, _ALIGNMENT_BYTES)


@attrs.frozen(eq=False)
class PlannedWeight:
    """One weight to be written: the tensors it becomes, and what gives their values in the same order."""

    plans: tuple[TensorPlan, ...]
    values: Callable[[], Sequence[NDArray[np.generic]]]


@attrs.frozen(kw_only=True)
class StoredTensor:
    """A tensor as the head of a file describes it.

    Attributes:
        file: Where it is.
        dtype: Number format as safetensors spells it.
        shape: Of the tensor.
        offset: First byte in the file.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Bytes."""
        return TensorPlan("", self.dtype, self.shape).size


@attrs.frozen
class Head:
    """What a file says it holds: its tensors by name, and its metadata."""

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]


def write_safetensors(
    path: Path, weights: Iterable[PlannedWeight], metadata: Mapping[str, str], progress: Progress
) -> None:
    """Write a file, asking for one weight after the other.

    Tensors whose size is no multiple of a cache line come last, the most even first, so that every tensor
    lies as evenly as its size allows.

    Args:
        path: Where to.
        weights: All of them.
        metadata: Of the file, besides ``format``.
        progress: Told the bytes written so far and in all.
    """
    listed = list(weights)
    plans = sorted(
        (plan for weight in listed for plan in weight.plans), key=attrgetter("alignment"), reverse=True
    )
    head: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    places: dict[str, int] = {}
    end = 0
    for plan in plans:
        places[plan.name] = end
        head[plan.name] = {"dtype": plan.dtype, "shape": plan.shape, "data_offsets": (end, end + plan.size)}
        end += plan.size
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-(_LENGTH_BYTES + len(text)) % _ALIGNMENT_BYTES)
    written = 0
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for weight in listed:
            for plan, values in zip(weight.plans, weight.values(), strict=True):
                file.seek(_LENGTH_BYTES + len(text) + places[plan.name])
                written += file.write(np.ascontiguousarray(values).data.cast("B"))
                progress(written, end)


def read_safetensors_head(path: Path) -> Head:
    """Read what a file says it holds, and check that it can.

    Raises:
        PullError: It is no such file, or its sizes do not add up to the size of the file.
    """
    text = _read_head(path)
    start = _LENGTH_BYTES + len(text)
    tensors: dict[str, StoredTensor] = {}
    spans: list[tuple[int, int]] = []
    try:
        entries = json.loads(text)
        metadata = dict(entries.pop("__metadata__", {}))
        for name, entry in entries.items():
            begin, end = (int(offset) for offset in entry["data_offsets"])
            shape = tuple(int(extent) for extent in entry["shape"])
            bits = math.prod(shape) * _ELEMENT_BITS[entry["dtype"]]
            if begin < 0 or any(extent < 0 for extent in shape) or (end - begin) * 8 != bits:
                raise _broken(path, f"tensor {name!r:.80} has {end - begin} bytes for shape {shape!r:.80}")
            tensors[name] = StoredTensor(file=path, dtype=entry["dtype"], shape=shape, offset=start + begin)
            spans.append((begin, end))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _broken(path, f"its head cannot be read: {error}") from error
    _check_spans(path, spans, path.stat().st_size - start)
    return Head(tensors, metadata)


def _read_head(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > min(size - _LENGTH_BYTES, _MAX_HEAD_BYTES):
            raise _broken(path, f"its head is said to have {length} bytes, the file has {size}")
        return file.read(length)


def _check_spans(path: Path, spans: list[tuple[int, int]], size: int) -> None:
    """Refuse tensors that leave gaps, overlap, or do not end with the file."""
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise _broken(path, f"bytes {position} to {begin} belong to no tensor, or to two")
        position = end
    if position != size:
        raise _broken(path, f"it has {size} bytes of weights, its tensors need {position}")


def _broken(path: Path, why: str) -> PullError:
    return PullError(f"{path.name} is not a usable safetensors file: {why}", hint="download it again")

"""The weights of a folder in Hugging Face layout, packed ones under their own names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from homeport.domain.errors import PullError
from homeport.models.conversion.bfloat16 import widen
from homeport.models.conversion.safetensors_file import Head, StoredTensor, read_safetensors_head
from homeport.models.conversion.source_weight import ConvertedRows, SourceWeight
from homeport.weights import PackedMatrix, PackedTensor, StoredShape, WeightKind, find_packed

_MAPPED: Mapping[str, type[np.generic]] = MappingProxyType(
    {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "U8": np.uint8}
)


def folder_weights(folder: Path, shards: Sequence[str]) -> list[SourceWeight]:
    """Read the heads of all files, and check them.

    Raises:
        PullError: A file is damaged, or two of them hold the same weight.
    """
    weights = [weight for shard in shards for weight in _shard_weights(folder / shard)]
    twice = [name for name, count in Counter(weight.name for weight in weights).items() if count > 1]
    if twice:
        raise PullError(f"tensor {twice[0]!r:.80} is in two files of the model", hint="download it again")
    return weights


def _shard_weights(path: Path) -> Iterator[SourceWeight]:
    head = read_safetensors_head(path)
    try:
        packed = find_packed(
            {name: StoredShape(tensor.dtype, tensor.shape) for name, tensor in head.tensors.items()},
            head.metadata,
        )
    except ValueError as error:
        raise PullError(f"{path.name} holds packed weights that cannot be read: {error}") from error
    parts = {part for tensor in packed.values() for part in tensor.parts}
    for name, tensor in head.tensors.items():
        if name not in parts:
            yield _plain(name, tensor)
    for name, group in packed.items():
        yield _packed(name, group, head)


def _plain(name: str, tensor: StoredTensor) -> SourceWeight:
    def values() -> NDArray[np.generic]:
        return _mapped(tensor)

    def rows() -> ConvertedRows:
        stored = values().reshape(tensor.shape[0], -1)
        return ConvertedRows(stored, widen if tensor.dtype == "BF16" else np.asarray, stored.shape[1])

    return SourceWeight(
        name=name, dtype=tensor.dtype, shape=tensor.shape, values=values, rows=rows, stored_bytes=tensor.size
    )


def _packed(name: str, tensor: PackedTensor, head: Head) -> SourceWeight:
    def matrix() -> PackedMatrix:
        codes, scales, *mins = (_mapped(head.tensors[part]) for part in tensor.parts)
        return PackedMatrix(
            kind=tensor.kind,
            rows=tensor.rows,
            codes=codes.view(np.uint8),
            scales=scales.view(np.float16),
            mins=mins[0].view(np.float16) if mins else None,
        )

    return SourceWeight(
        name=name,
        dtype="Q8" if tensor.kind is WeightKind.Q8 else "Q4",
        shape=(tensor.rows, tensor.cols),
        values=lambda: matrix().dequantise(),
        rows=lambda: _PackedRows(matrix()),
        stored_bytes=sum(head.tensors[part].size for part in tensor.parts),
        kind=tensor.kind,
        group=tensor.group,
        packed=matrix,
    )


class _PackedRows:
    """Rows of a packed matrix as floating-point numbers."""

    def __init__(self, matrix: PackedMatrix) -> None:
        self._matrix = matrix

    @property
    def shape(self) -> tuple[int, ...]:
        return self._matrix.rows, self._matrix.cols

    def __getitem__(self, rows: slice, /) -> NDArray[np.generic]:
        return self._matrix.dequantise(rows.start, rows.stop)


def _mapped(tensor: StoredTensor) -> NDArray[np.generic]:
    """Map a tensor: floats and codes in their shape, bfloat16 as uint16, others as bytes."""
    if not tensor.size:  # nothing cannot be mapped
        return np.empty(0, np.uint8)
    if tensor.dtype not in _MAPPED:
        return np.memmap(tensor.file, np.uint8, "r", tensor.offset, (tensor.size,))
    return np.memmap(tensor.file, _MAPPED[tensor.dtype], "r", tensor.offset, tensor.shape)

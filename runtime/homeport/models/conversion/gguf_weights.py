"""The weights of a GGUF file."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from homeport.domain.errors import PullError
from homeport.models.conversion.architectures import MappedTensor
from homeport.models.conversion.bfloat16 import widen
from homeport.models.conversion.gguf_blocks import REPACKINGS, blocks_of
from homeport.models.conversion.gguf_file import GgufFile, GgufTensor
from homeport.models.conversion.source_weight import ConvertedRows, SourceWeight
from homeport.weights import (
    DEFAULT_GROUP,
    PackedMatrix,
    PlainCodes,
    Rows,
    WeightKind,
    pack_blocks,
    quantise_q8,
)

_FLOATS: Mapping[GGMLQuantizationType, tuple[str, type[np.generic]]] = {
    GGMLQuantizationType.F32: ("F32", np.float32),
    GGMLQuantizationType.F16: ("F16", np.float16),
    GGMLQuantizationType.BF16: ("BF16", np.uint16),
}


def gguf_weight(file: GgufFile, tensor: MappedTensor, threads: int) -> SourceWeight:
    """Read one weight of a file.

    Args:
        file: Where it is.
        tensor: Which one, and its name in the result.
        threads: How many pack it.

    Raises:
        PullError: Its number format is unknown to the ``gguf`` package.
    """
    source = file.tensors[tensor.source]
    rows = partial(_rows, file, source, tensor.paired_heads)
    if source.kind in _FLOATS:
        dtype, kind = _FLOATS[source.kind]
        convert = widen if dtype == "BF16" else np.asarray
        return SourceWeight(
            name=tensor.target,
            dtype=dtype,
            shape=source.shape,
            values=lambda: rows().view(kind).reshape(source.shape),
            rows=lambda: ConvertedRows(rows().view(kind), convert, source.shape[-1]),
            stored_bytes=source.size,
        )
    return _quantised(tensor.target, source, rows, threads)


def _quantised(
    name: str, source: GgufTensor, rows: Callable[[], NDArray[np.uint8]], threads: int
) -> SourceWeight:
    kind = source.kind

    def numbers() -> Rows:
        return ConvertedRows(rows(), partial(_dequantised, kind), source.shape[-1])

    def values() -> NDArray[np.generic]:
        return _dequantised(kind, rows()).reshape(source.shape)

    if len(source.shape) != 2:  # noqa: PLR2004 - rows and columns
        return SourceWeight(
            name=name,
            dtype="F32",
            shape=source.shape,
            values=values,
            rows=numbers,
            stored_bytes=source.size,
        )
    repacking = REPACKINGS.get(kind)

    def packed() -> PackedMatrix:
        if repacking is None:
            return quantise_q8(numbers(), threads=threads, name=name)
        raw, shape = rows(), (source.shape[0], source.shape[1])

        def plain(block: slice) -> PlainCodes:
            return _finite(name, repacking.decode(blocks_of(raw[block], kind)))

        return pack_blocks(repacking.kind, shape, DEFAULT_GROUP, plain, threads=threads)

    return SourceWeight(
        name=name,
        dtype=kind.name,
        shape=source.shape,
        values=values,
        rows=numbers,
        stored_bytes=source.size,
        kind=WeightKind.Q8 if repacking is None else repacking.kind,
        packed=packed,
    )


def _rows(file: GgufFile, source: GgufTensor, paired_heads: int) -> NDArray[np.uint8]:
    """Bytes of each row, in the order that the result has."""
    rows = file.raw(source).reshape(source.shape[0] if len(source.shape) > 1 else 1, -1)
    return _unpaired(rows, paired_heads) if paired_heads else rows


def _unpaired(rows: NDArray[np.uint8], heads: int) -> NDArray[np.uint8]:
    """Put rotary rows back in two halves per head: [heads * width, ...] from pairs (i, i + width / 2)."""
    halves = rows.reshape(heads, len(rows) // heads // 2, 2, -1)
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _dequantised(kind: GGMLQuantizationType, rows: NDArray[np.generic]) -> NDArray[np.float32]:
    try:
        values: NDArray[np.float32] = dequantize(rows, kind)
    except NotImplementedError as error:
        raise PullError(f"weights of format {kind.name} cannot be converted") from error
    return values


def _finite(name: str, plain: PlainCodes) -> PlainCodes:
    groups = [plain.scales] if plain.mins is None else [plain.scales, plain.mins]
    if not all(np.isfinite(values).all() for values in groups):
        raise ValueError(f"tensor {name!r} cannot be packed: a scale is no finite number of 16 bits")
    return plain

"""The matrices of a build, read back from its files as the operators read them.

Format: ``MatMulNBits`` in onnxruntime's docs/ContribOperators.md, and external data in onnx's
docs/ExternalData.md.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from homeport.checkpoint import Part
from homeport_onnx.head_layout import Padding
from homeport_onnx.matrix_products import Matrix

_FLOAT_BITS, _BYTE_BITS, _NIBBLE_BITS = 32, 8, 4
_LOW_NIBBLE = np.uint8(15)

Array = NDArray[Any]


class HeldWeights:
    """Gives parts of a checkpoint as a build holds them.

    Args:
        model_file: The build's graph.
        matrices: What was put into it.
    """

    def __init__(self, model_file: Path, matrices: Sequence[Matrix]) -> None:
        self._tensors = _map_tensors(model_file)
        self._places: dict[Part, tuple[Matrix, int]] = {}
        for matrix in matrices:
            first_row = 0
            for part in matrix.parts:
                self._places[part] = matrix, first_row
                first_row += part.rows

    def rows(self, part: Part, begin: int, end: int) -> NDArray[np.float32]:
        """Give rows [begin, end) of a part as numbers: float32 [end - begin, columns]."""
        matrix, first_row = self._places[part]
        rows = _spread(matrix.rows, np.arange(first_row + begin, first_row + end))
        if matrix.name not in self._tensors:
            return self._dequantised(matrix, rows)
        values = self._tensors[matrix.name][rows].astype(np.float32)
        return values[:, _spread(matrix.cols, np.arange(part.shape[1]))]

    def bits(self, part: Part) -> int:
        """Give the bits of one weight: 4, 8 or 32."""
        matrix, _ = self._places[part]
        if matrix.name in self._tensors:
            return _FLOAT_BITS
        codes = self._tensors[f"{matrix.name}.codes"]
        return _BYTE_BITS * codes.size // math.prod(matrix.shape)

    @property
    def is_packed(self) -> bool:
        """Whether any matrix has fewer bits than a float."""
        return any(self.bits(part) < _FLOAT_BITS for part in self._places)

    def _dequantised(self, matrix: Matrix, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        bits = self.bits(matrix.parts[0])
        packed, scales = (self._tensors[f"{matrix.name}.{kind}"][rows] for kind in ("codes", "scales"))
        blocks = scales.shape[1]
        values = _unpacked(packed, bits).astype(np.float32).reshape(len(rows), blocks, -1)
        values -= np.float32(1 << (bits - 1))
        values *= scales[..., None]
        offsets = self._tensors.get(f"{matrix.name}.offsets")
        if offsets is not None:
            values += offsets[rows][..., None]
        return values.reshape(len(rows), -1)


def _map_tensors(model_file: Path) -> Mapping[str, Array]:
    graph = onnx.load(model_file, load_external_data=False).graph
    return {tensor.name: _map_tensor(model_file.parent, tensor) for tensor in graph.initializer}


def _map_tensor(folder: Path, tensor: TensorProto) -> Array:
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    told = {entry.key: entry.value for entry in tensor.external_data}
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.memmap(folder / told["location"], dtype, "r", int(told["offset"]), tuple(tensor.dims))


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Take codes of 4 bits out of bytes, the lower half first: [rows, count]."""
    packed = packed.reshape(len(packed), -1)
    if bits == _BYTE_BITS:
        return packed
    return np.stack([packed & _LOW_NIBBLE, packed >> _NIBBLE_BITS], axis=-1).reshape(len(packed), -1)


def _spread(padding: Padding | None, entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say where entries have come to lie when others were put between them."""
    if padding is None:
        return entries
    places = np.asarray(padding.places, np.int64)
    spread: NDArray[np.int64] = entries // padding.unit * padding.size + places[entries % padding.unit]
    return spread

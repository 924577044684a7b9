"""Writes an ONNX model whose weights go to disk as they are computed.

Format: https://github.com/onnx/onnx/blob/main/docs/IR.md and ExternalData.md beside it.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from homeport import BuildProgress, PullError

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own operators."""
_OPSET = 23
"""The first with RMSNormalization."""
_MICROSOFT_OPSET = 1
_IR_VERSION = 11
"""That of opset 23."""
_PAGE_BYTES = 4096
"""Larger tensors begin at a page, so that they can be mapped."""
_LINE_BYTES = 64
_LARGE_BYTES = 64 * 1024
_GRAPH_BYTES = 16 * 1024 * 1024
"""Room kept for model.onnx itself: 60 layers take 0.5 MB."""

_GIGABYTE = 1e9

Array = NDArray[np.generic]
Blocks = Callable[[], Iterable[Sequence[Array]]]
"""Gives the content of tensors that are computed together, some of each at a time."""


@attrs.frozen(kw_only=True)
class TensorSpec:
    """A tensor that is to be stored.

    Attributes:
        name: Its name in the graph.
        dtype: float32, uint8 or another of numpy's.
        shape: Its shape.
    """

    name: str
    dtype: np.dtype[np.generic] = attrs.field(converter=np.dtype)
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its content."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@attrs.frozen(kw_only=True)
class _Batch:
    """Tensors that are computed together, and where each begins in the data file."""

    specs: tuple[TensorSpec, ...]
    offsets: tuple[int, ...]
    blocks: Blocks


class GraphWriter:
    """Gathers a graph, and writes it in one go: weights are asked for block by block only then.

    Args:
        name: Of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._told: list[onnx.ValueInfoProto] = []
        self._initializers: list[TensorProto] = []
        self._batches: list[_Batch] = []
        self._places: dict[str, tuple[TensorSpec, int]] = {}
        self._end = 0

    @property
    def data_bytes(self) -> int:
        """Bytes of the weights gathered so far."""
        return self._end

    def take(self, name: str, kind: int, dims: Sequence[str | int]) -> str:
        """Declare an input of the graph, of a ``TensorProto`` type."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, dims))
        return name

    def give(self, name: str, kind: int, dims: Sequence[str | int]) -> None:
        """Declare an output of the graph, which a node makes."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, dims))

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        outputs: Sequence[str] = (),
        domain: str = "",
        **attributes: float | str | Sequence[int] | onnx.GraphProto,
    ) -> str:
        """Add a node behind all others, and name its first output.

        Args:
            operator: Its type.
            inputs: Names; an empty one leaves an optional input out.
            outputs: Names; without them it has one, which is named after the node.
            domain: Of the operator.
            attributes: Its attributes.
        """
        name = f"{operator}_{len(self._nodes)}"
        names = list(outputs) or [name]
        made = helper.make_node(operator, list(inputs), names, name=name, domain=domain)
        made.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(made)
        return names[0]

    def constant(self, name: str, value: Array) -> str:
        """Add a small tensor that lies in model.onnx itself; asked for again, it is the first."""
        if all(tensor.name != name for tensor in self._initializers):
            self._initializers.append(numpy_helper.from_array(value, name))
        return name

    def reshape(self, states: str, dims: Sequence[int]) -> str:
        """Give a tensor another shape, where 0 keeps the dimension at its place and -1 is what is left."""
        shape = self.constant(f"shape.{'x'.join(map(str, dims))}", np.array(dims, np.int64))
        return self.node("Reshape", [states, shape])

    def shape_of_rows(self, ids: str) -> str:
        """Compute the shape of [batch, sequence] tokens, with one more axis for what is left: int64 [3]."""
        rest = self.constant("rest", np.array([-1], np.int64))
        return self.node("Concat", [self.node("Shape", [ids]), rest], axis=0)

    def tell(self, name: str, kind: int, dims: Sequence[str | int]) -> str:
        """Declare the shape of what a node makes, where it does not follow from its inputs.

        onnxruntime gives each dimension that it does not know a name of its own, and compares them all: 120
        of them made the opening of a graph of 1,400 nodes 0.4 s longer.
        """
        self._told.append(helper.make_tensor_value_info(name, kind, dims))
        return name

    def weights(self, specs: Sequence[TensorSpec], blocks: Blocks) -> None:
        """Add tensors to the data file.

        Args:
            specs: What is stored.
            blocks: Gives, again and again, the next entries of each of them along the first axis.
        """
        offsets = []
        for spec in specs:
            offset = _aligned(self._end, spec.nbytes)
            self._end = offset + spec.nbytes
            offsets.append(offset)
            self._places[spec.name] = spec, offset
            self._initializers.append(_external(spec, offset))
        self._batches.append(_Batch(specs=tuple(specs), offsets=tuple(offsets), blocks=blocks))

    def alias(self, name: str, stored: str, shape: tuple[int, ...]) -> str:
        """Add a tensor of another shape over the bytes of a stored one."""
        spec, offset = self._places[stored]
        self._initializers.append(_external(attrs.evolve(spec, name=name, shape=shape), offset))
        return name

    def write(self, folder: Path, *, room_bytes: int, progress: BuildProgress) -> None:
        """Write model.onnx and its data.

        Args:
            folder: Where to.
            room_bytes: What both may take.
            progress: Told how many bytes of weights are written.

        Raises:
            PullError: They take more room.
            OSError: The system cannot write them.
        """
        needed = self._end + _GRAPH_BYTES
        if needed > room_bytes:
            raise PullError(
                f"the model takes {needed / _GIGABYTE:.2f} GB in ONNX form, "
                f"{room_bytes / _GIGABYTE:.2f} GB are free where it goes",
                hint="Make room on that disk, or choose fewer bits with --quant int4",
            )
        for file in (MODEL_FILE, DATA_FILE):
            # What is there may be another folder's too, by a hard link.
            (folder / file).unlink(missing_ok=True)
        self._write_data(folder / DATA_FILE, progress)
        onnx.save_model(self._model(), folder / MODEL_FILE)
        onnx.checker.check_model(str(folder / MODEL_FILE))

    def _write_data(self, path: Path, progress: BuildProgress) -> None:
        written = 0
        with path.open("wb") as file:
            file.truncate(self._end)
            for batch in self._batches:
                ends = list(batch.offsets)
                for arrays in batch.blocks():
                    for index, array in enumerate(arrays):
                        data = np.ascontiguousarray(array, batch.specs[index].dtype)
                        file.seek(ends[index])
                        file.write(data.data)
                        ends[index] += data.nbytes
                        written += data.nbytes
                    progress(written, self._end)
                _check_ends(batch, ends)
        progress(self._end, self._end)

    def _model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            self._name,
            self._inputs,
            self._outputs,
            initializer=self._initializers,
            value_info=self._told,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, _MICROSOFT_OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="homeport"
        )


def _check_ends(batch: _Batch, ends: Sequence[int]) -> None:
    for spec, begin, end in zip(batch.specs, batch.offsets, ends, strict=True):
        if end - begin != spec.nbytes:
            raise RuntimeError(f"weights of {spec.name!r} are {end - begin} bytes, expected {spec.nbytes}")


def _aligned(offset: int, nbytes: int) -> int:
    step = _PAGE_BYTES if nbytes >= _LARGE_BYTES else _LINE_BYTES
    return -(-offset // step) * step


def _external(spec: TensorSpec, offset: int) -> TensorProto:
    tensor = TensorProto(
        name=spec.name,
        data_type=helper.np_dtype_to_tensor_dtype(spec.dtype),
        dims=spec.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", DATA_FILE), ("offset", offset), ("length", spec.nbytes)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor

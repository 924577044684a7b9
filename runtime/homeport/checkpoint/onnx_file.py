"""What an ONNX file computes and where its weights lie, read without its weights.

Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Files come from strangers: all that
onnxruntime would follow out of them is checked here before a session is opened.
"""

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, Self

import attrs

from homeport.checkpoint.folder import REPAIR_HINT
from homeport.checkpoint.onnx_tensors import DTYPES, OnnxTensors
from homeport.checkpoint.onnx_weights import COUNTED_OPERATORS, OnnxWeights
from homeport.checkpoint.protobuf import Messages, Span, Value, message, number
from homeport.domain.errors import LoadError

_LARGEST_FILE_BYTES = 2**31 - 1
"""The bound of protobuf messages."""
_LARGEST_DIM = 2**31 - 1
_DEEPEST = 16
"""Graphs inside graphs; merged decoders have two."""
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_REFUSED_OPERATORS = frozenset(
    {"ATen", "BeamSearch", "EPContext", "GreedySearch", "PythonOp", "Sampling", "WhisperBeamSearch"}
)
"""Those that read files of their own, run code of other libraries, or run whole models."""
_EXPORT_HINT = "Choose an export for the CPU made by optimum or by onnxruntime-genai"

_GRAPH, _TRAINING, _FUNCTION = 7, 20, 25
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE_INITIALIZER = 1, 5, 11, 12, 15
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS = 5, 6, 10, 11
_SPARSE_ATTRIBUTES = frozenset({22, 23})
_NODE_INPUT, _INTEGER = 1, 3
_NAME, _VALUE_TYPE = 1, 2
_TENSOR_TYPE, _ELEMENT, _SHAPE, _DIM, _DIM_VALUE, _DIM_NAME = 1, 1, 2, 1, 1, 2


@attrs.frozen(kw_only=True)
class TensorSpec:
    """What goes into a graph, or comes out of it.

    Attributes:
        dtype: As numpy spells it: ``float32``, ``int64``.
        dims: Sizes of the axes; names where they are free, empty where they have none.
    """

    dtype: str
    dims: tuple[int | str, ...]


@attrs.frozen(kw_only=True)
class OnnxFile:
    """An ONNX file that was read and found harmless.

    Attributes:
        path: The file.
        inputs: By name, without those that have a value in the file.
        outputs: By name.
        operators: Names of all operators of the graph and the graphs inside it.
        data_files: Files that hold weights, relative to its folder; the file itself is not among them.
        weights_bytes: Bytes of all tensors.
        stored_bytes: The same with tensors over the same bytes outside counted once.
        weights: Number of weights by type: ``float32``, ``int8``, ``int4``; packed ones by their bits.
    """

    path: Path
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    operators: frozenset[str]
    data_files: tuple[str, ...] = ()
    weights_bytes: int = 0
    stored_bytes: int = 0
    weights: Mapping[str, int] = attrs.field(factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a file.

        Raises:
            LoadError: It is damaged or too large, its tensors lie elsewhere or claim more than there is, or
                it has something that could run or read what is not the model.
        """
        try:
            with _mapped(path) as data:
                reader = _Reader(Messages(data), path.parent)
                reader.read_model()
        except LoadError as error:
            raise LoadError(f"{path.name!r} is refused: {error.message}", hint=error.hint) from error
        return cls(
            path=path,
            inputs=MappingProxyType(
                {name: spec for name, spec in reader.inputs.items() if name not in reader.weights}
            ),
            outputs=MappingProxyType(reader.outputs),
            operators=frozenset(reader.operators),
            data_files=reader.tensors.locations,
            weights_bytes=reader.tensors.inside_bytes + reader.tensors.outside_bytes,
            stored_bytes=reader.tensors.stored_bytes,
            weights=MappingProxyType(reader.weights.by_type()),
        )

    def has_input(self, name: str) -> bool:
        """Say whether the graph has an input."""
        return name in self.inputs


class _Reader:
    """Walks through all graphs of a file."""

    def __init__(self, messages: Messages, folder: Path) -> None:
        self._messages = messages
        self._known: set[tuple[bytes, bytes]] = set()
        self.tensors = OnnxTensors(messages, folder)
        self.inputs: dict[str, TensorSpec] = {}
        self.outputs: dict[str, TensorSpec] = {}
        self.weights = OnnxWeights()
        self.operators: set[str] = set()

    def read_model(self) -> None:
        graphs = []
        for field, value in self._messages.fields(self._messages.whole):
            if field == _GRAPH:
                graphs.append(message(value))
            elif field in {_TRAINING, _FUNCTION}:
                _refuse("it has functions or training steps of its own")
        if len(graphs) != 1:
            raise LoadError(f"it has {len(graphs)} graphs, expected 1", hint=REPAIR_HINT)
        self._read_graph(graphs[0], 1)
        self.tensors.check_total()

    def _read_graph(self, span: Span, depth: int) -> None:
        if depth > _DEEPEST:
            _refuse(f"its graphs are nested more than {_DEEPEST} deep")
        for field, value in self._messages.fields(span):
            if field == _NODE:
                self._read_node(message(value), depth)
            elif field == _INITIALIZER:
                tensor = self.tensors.check(message(value))
                if depth == 1:
                    self.weights.add(tensor)
            elif field == _SPARSE_INITIALIZER:
                _refuse("it has sparse tensors, which claim more memory than they hold")
            elif depth == 1 and field in {_INPUT, _OUTPUT}:
                name, spec = self._value(message(value))
                _add(self.inputs if field == _INPUT else self.outputs, name, spec)

    def _read_node(self, span: Span, depth: int) -> None:
        operator = domain = b""
        inputs: list[Value] = []
        attributes: list[Span] = []
        for field, value in self._messages.fields(span):
            if field == _NODE_INPUT:
                inputs.append(value)
            elif field == _ATTRIBUTE:
                attributes.append(message(value))
                self._read_attribute(attributes[-1], depth)
            elif field == _OPERATOR:
                operator = self._messages.raw(value)
            elif field == _DOMAIN:
                domain = self._messages.raw(value)
        if (domain, operator) not in self._known:
            self._known.add((domain, operator))
            self._check_operator(
                domain.decode(errors="backslashreplace"), operator.decode(errors="backslashreplace")
            )
        if operator in COUNTED_OPERATORS:
            fields = [dict(self._messages.fields(attribute)) for attribute in attributes]
            told = {self._messages.raw(each.get(_NAME, (0, 0))): each.get(_INTEGER) for each in fields}
            names = [self._messages.text(value) for value in inputs]
            self.weights.note_node(operator, names, told.get(b"bits"))

    def _check_operator(self, domain: str, operator: str) -> None:
        if domain not in _DOMAINS:
            named = ", ".join(sorted(_DOMAINS - {""}))
            _refuse(f"operator {operator!r:.60} is of domain {domain!r:.60}, allowed are those of {named}")
        if operator in _REFUSED_OPERATORS:
            _refuse(f"operator {operator!r} reads files or runs other models, which is not allowed")
        self.operators.add(operator)

    def _read_attribute(self, span: Span, depth: int) -> None:
        seen: set[int] = set()
        for field, value in self._messages.fields(span):
            if field in seen:
                raise LoadError("an attribute has two tensors or graphs, expected one", hint=REPAIR_HINT)
            if field in {_TENSOR, _SUBGRAPH}:
                seen.add(field)
            if field in {_TENSOR, _TENSORS}:
                self.tensors.check(message(value))
            elif field in {_SUBGRAPH, _SUBGRAPHS}:
                self._read_graph(message(value), depth + 1)
            elif field in _SPARSE_ATTRIBUTES:
                _refuse("it has sparse tensors, which claim more memory than they hold")

    def _value(self, span: Span) -> tuple[str, TensorSpec]:
        fields = dict(self._messages.fields(span))
        name = self._messages.text(fields.get(_NAME, (0, 0)))
        kind = dict(self._messages.fields(message(fields.get(_VALUE_TYPE, (0, 0)))))
        if _TENSOR_TYPE not in kind:
            _refuse(f"{name!r:.80} is no tensor")
        tensor = dict(self._messages.fields(message(kind[_TENSOR_TYPE])))
        dtype = DTYPES.get(number(tensor.get(_ELEMENT, 0)))
        if dtype is None:
            _refuse(f"{name!r:.80} has no known type")
        dims = [self._dim(name, value) for value in self._dims(tensor)]
        return name, TensorSpec(dtype=dtype, dims=tuple(dims))

    def _dims(self, tensor: Mapping[int, Value]) -> Iterator[Span]:
        for field, value in self._messages.fields(message(tensor.get(_SHAPE, (0, 0)))):
            if field == _DIM:
                yield message(value)

    def _dim(self, name: str, span: Span) -> int | str:
        fields = dict(self._messages.fields(span))
        if _DIM_VALUE not in fields:
            return self._messages.text(fields.get(_DIM_NAME, (0, 0)))
        size = number(fields[_DIM_VALUE])
        if not 0 <= size <= _LARGEST_DIM:
            raise LoadError(
                f"{name!r:.80} has an axis of {size}, expected 0 to {_LARGEST_DIM}", hint=REPAIR_HINT
            )
        return size


def _add(values: dict[str, TensorSpec], name: str, spec: TensorSpec) -> None:
    if name in values:
        raise LoadError(f"it names {name!r:.80} twice, expected once", hint=REPAIR_HINT)
    values[name] = spec


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        size = path.stat().st_size if path.is_file() else 0
        if not 0 < size <= _LARGEST_FILE_BYTES:
            raise LoadError(
                f"it has {size} bytes or is no file, expected 1 to {_LARGEST_FILE_BYTES}", hint=REPAIR_HINT
            )
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise LoadError(f"it cannot be read: {error}", hint=REPAIR_HINT) from error
    with mapping:
        yield mapping


def _refuse(fault: str) -> NoReturn:
    raise LoadError(fault, hint=_EXPORT_HINT)

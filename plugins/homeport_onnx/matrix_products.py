"""Matrix products and the embedding of a decoder, as nodes with their weights."""

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.checkpoint import Part
from homeport_onnx.block_codes import BlockForm, stored_arrays
from homeport_onnx.finer_inputs import ROUNDING, FinerInputs
from homeport_onnx.graph_writer import MICROSOFT, Blocks, GraphWriter, TensorSpec
from homeport_onnx.head_layout import Padding
from homeport_onnx.input_blocks import InputBlocks
from homeport_onnx.stored_weights import StoredWeights
from homeport_onnx.weight_choice import FP32, INT16, WeightChoice

_EXACT = 1
"""``accuracy_level`` of products that do not round their inputs."""
_BIAS_INPUT = 5
_ROWS_AT_ONCE = 1024 * 1024
"""Numbers that are read at a time."""


@attrs.frozen(kw_only=True)
class Matrix:
    """Matrices that lie below one another and multiply the same input.

    Attributes:
        name: In the graph.
        parts: Where they are stored.
        biases: Of each of them; empty where they have none.
        rows: Which rows are added to them.
        cols: Which columns are added to them.
        is_outer: It is the embedding or the output matrix.
    """

    name: str
    parts: Sequence[Part]
    biases: Sequence[Part] = ()
    rows: Padding | None = None
    cols: Padding | None = None
    is_outer: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, padding among them."""
        rows, cols = sum(part.rows for part in self.parts), self.parts[0].shape[1]
        return (
            rows if self.rows is None else self.rows.padded(rows),
            cols if self.cols is None else self.cols.padded(cols),
        )


class Products:
    """Puts products and their weights into a graph.

    Attributes:
        matrices: Those that the graph has.
        weight_count: Stored numbers that the graph has, those in matrices and in vectors.
        stored_bytes: What they take, scales and offsets among them.

    Args:
        writer: The graph.
        weights: The stored weights.
        choice: The form of each matrix, and what inputs of packed products are rounded to.
        threads: How many convert weights.
    """

    def __init__(
        self,
        writer: GraphWriter,
        weights: StoredWeights,
        choice: WeightChoice,
        *,
        threads: int,
    ) -> None:
        self._writer = writer
        self._weights = weights
        self._choice = choice
        self._threads = threads
        self._accuracy = _EXACT if choice.activations == FP32 else ROUNDING
        self._blocks = InputBlocks(writer)
        self._finer = FinerInputs(writer, self._blocks) if choice.activations == INT16 else None
        self._stored: dict[Part, str] = {}
        self.matrices: list[Matrix] = []
        self.weight_count = 0
        self.stored_bytes = 0

    def can_join(self, parts: Sequence[Part]) -> bool:
        """Say whether matrices can be one: all in blocks of the same size and bits, or all numbers."""
        return len({self._size(part) for part in parts}) == 1

    def embed(self, part: Part, ids: str) -> str:
        """Look rows of the embedding up: [batch, sequence, hidden]."""
        matrix = Matrix(name=part.name, parts=(part,), is_outer=True)
        name, form = self._store(matrix)
        if form is None:
            return self._writer.node("Gather", [name, ids])
        rows, cols = matrix.shape
        codes = self._writer.alias(f"{name}.rows", f"{name}.codes", (rows, form.code_bytes(cols)))
        embedded = self._writer.node(
            "GatherBlockQuantized",
            [codes, ids, f"{name}.scales"],
            domain=MICROSOFT,
            bits=form.bits,
            block_size=form.block,
            quantize_axis=1,
            gather_axis=0,
        )
        return self._with_offsets(embedded, ids, name, form) if form.has_offsets else embedded

    def multiply(self, states: str, matrix: Matrix) -> str:
        """Multiply states by a matrix and add its biases.

        Args:
            states: Name of [tokens, columns].
            matrix: What they are multiplied by.

        Returns:
            Name of [tokens, rows].
        """
        name, form = self._store(matrix)
        bias = self._bias(matrix)
        if form is None:
            product = self._writer.node("FusedMatMul", [states, name], domain=MICROSOFT, transB=1)
            return self._added(product, bias)
        cols = matrix.shape[1]
        if self._finer is None:
            product = self._packed_product(states, name, matrix, form, bias)
        else:
            parted = self._finer.parted(states, cols, form.block)
            product = self._finer.joined(self._packed_product(parted, name, matrix, form, None))
            product = self._added(product, bias)
        if not form.has_offsets:
            return product
        sums = self._blocks.sums(states, cols, form.block)
        return self._writer.node("Gemm", [sums, f"{name}.offsets", product], transB=1)

    def vector(self, part: Part, values: NDArray[np.float32]) -> str:
        """Store a vector that was made of a part, and name it."""
        spec = TensorSpec(name=part.name, dtype=np.float32, shape=values.shape)
        self._put([spec], lambda: [(values,)])
        self.weight_count += values.size
        return part.name

    def read(self, part: Part) -> NDArray[np.float32]:
        """Give the stored values of a vector."""
        return self._weights.vector(part)

    def _packed_product(
        self, states: str, name: str, matrix: Matrix, form: BlockForm, bias: str | None
    ) -> str:
        rows, cols = matrix.shape
        inputs = [states, f"{name}.codes", f"{name}.scales"]
        if bias is not None:
            inputs += [""] * (_BIAS_INPUT - len(inputs)) + [bias]
        return self._writer.node(
            "MatMulNBits",
            inputs,
            domain=MICROSOFT,
            K=cols,
            N=rows,
            bits=form.bits,
            block_size=form.block,
            accuracy_level=self._accuracy,
        )

    def _added(self, product: str, bias: str | None) -> str:
        return product if bias is None else self._writer.node("Add", [product, bias])

    def _with_offsets(self, embedded: str, ids: str, name: str, form: BlockForm) -> str:
        """Add the offset of each block to its numbers: [batch, sequence, hidden]."""
        node, reshape = self._writer.node, self._writer.reshape
        offsets = reshape(node("Gather", [f"{name}.offsets", ids]), [0, 0, -1, 1])
        return reshape(node("Add", [reshape(embedded, [0, 0, -1, form.block]), offsets]), [0, 0, -1])

    def _size(self, part: Part) -> tuple[int, int] | None:
        form = self._choice.form(self._weights.stored(part))
        return None if form is None else (form.bits, form.block)

    def _form(self, matrix: Matrix) -> BlockForm | None:
        if matrix.cols is not None:
            return None
        stored = [self._weights.stored(part) for part in matrix.parts]
        forms = [self._choice.form(tensor, is_outer=matrix.is_outer) for tensor in stored]
        found = [form for form in forms if form is not None]
        if not found:
            return None
        return attrs.evolve(found[0], has_offsets=any(form.has_offsets for form in found))

    def _store(self, matrix: Matrix) -> tuple[str, BlockForm | None]:
        """Store a matrix; the one of a tied embedding is stored once."""
        form = self._form(matrix)
        first = matrix.parts[0]
        is_shared = len(matrix.parts) == 1 and first in self._stored
        name = self._stored.setdefault(first, matrix.name)
        if not is_shared:
            self._add(name, matrix, form)
            self.matrices.append(matrix)
            self.weight_count += sum(part.rows * part.shape[1] for part in matrix.parts)
        return name, form

    def _add(self, name: str, matrix: Matrix, form: BlockForm | None) -> None:
        if form is None:
            spec = TensorSpec(name=name, dtype=np.float32, shape=matrix.shape)
            self._put([spec], lambda: self._floats(matrix))
            return
        rows, cols = matrix.shape
        blocks = form.blocks(cols)
        blob = form.block * form.bits // 8
        specs = [
            TensorSpec(name=f"{name}.codes", dtype=np.uint8, shape=(rows, blocks, blob)),
            TensorSpec(name=f"{name}.scales", dtype=np.float32, shape=(rows, blocks)),
        ]
        if form.has_offsets:
            specs.append(TensorSpec(name=f"{name}.offsets", dtype=np.float32, shape=(rows, blocks)))
        self._put(specs, lambda: self._codes(matrix, form))

    def _codes(self, matrix: Matrix, form: BlockForm) -> Iterator[Sequence[NDArray[np.generic]]]:
        unit = 1 if matrix.rows is None else matrix.rows.unit
        for arrays in stored_arrays(self._weights, matrix.parts, form, unit=unit, threads=self._threads):
            yield arrays if matrix.rows is None else [matrix.rows.fill(array) for array in arrays]

    def _floats(self, matrix: Matrix) -> Iterator[Sequence[NDArray[np.generic]]]:
        unit = 1 if matrix.rows is None else matrix.rows.unit
        for part in matrix.parts:
            step = max(_ROWS_AT_ONCE // part.shape[1] // unit, 1) * unit
            for begin in range(0, part.rows, step):
                values = self._weights.rows(part, begin, min(begin + step, part.rows))
                if matrix.rows is not None:
                    values = matrix.rows.fill(values)
                yield (values if matrix.cols is None else matrix.cols.fill(values.T).T,)

    def _put(self, specs: Sequence[TensorSpec], blocks: Blocks) -> None:
        self._writer.weights(specs, blocks)
        self.stored_bytes += sum(spec.nbytes for spec in specs)

    def _bias(self, matrix: Matrix) -> str | None:
        if not matrix.biases:
            return None
        values = np.concatenate([self._weights.vector(part) for part in matrix.biases])
        if matrix.rows is not None:
            values = matrix.rows.fill(values)
        self.weight_count += values.size
        name = f"{matrix.name}.bias"
        spec = TensorSpec(name=name, dtype=np.float32, shape=values.shape)
        self._put([spec], lambda: [(values,)])
        return name


def present(*biases: Part | None) -> tuple[Part, ...]:
    """Give those of some biases that a model has."""
    return tuple(part for part in biases if part is not None)

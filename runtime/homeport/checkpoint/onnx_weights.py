"""How many weights of which type an ONNX file has, packed ones counted as what they unpack to."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from homeport.checkpoint.onnx_tensors import OnnxTensor

PACKED_OPERATORS: Mapping[bytes, int] = MappingProxyType({b"MatMulNBits": 1, b"GatherBlockQuantized": 0})
"""Operators that unpack a matrix, and which of their inputs that is.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""
_FIRST_SCALES = 2
"""From this input on they have scales and zero points."""
_NO_WEIGHTS: Mapping[bytes, range] = MappingProxyType(
    {b"GroupQueryAttention": range(7, 9), b"RotaryEmbedding": range(1, 4), b"DequantizeLinear": range(1, 3)}
)
"""Inputs of other operators that follow from the configuration or belong to codes: rotary tables, scales."""
COUNTED_OPERATORS = frozenset({*PACKED_OPERATORS, *_NO_WEIGHTS})
"""Operators whose inputs tell what is a weight."""
_PACKED_BITS = frozenset({2, 4, 8})
_USUAL_BITS = 4
_MATRIX_AXES = 2
_BITS_PER_BYTE = 8
_WEIGHT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "float32": "float32", "float16": "float16", "bfloat16": "bfloat16",
        "int8": "int8", "uint8": "int8", "int4": "int4", "uint4": "int4",
    }
)  # fmt: skip


class OnnxWeights:
    """Counts the weights of one file.

    Tensors over the same bytes of a file outside are one matrix, which exporters name twice where it is
    embedding and output. A tensor of the shape of some matrix's scales has figures of its blocks.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, OnnxTensor] = {}
        self._bits: dict[str, int] = {}
        self._scales: set[str] = set()
        self._others: set[str] = set()

    def __contains__(self, name: object) -> bool:
        """Say whether a tensor was added."""
        return name in self._tensors

    def add(self, tensor: OnnxTensor) -> None:
        """Add a tensor that has its values in the file or beside it."""
        self._tensors[tensor.name] = tensor

    def note_node(self, operator: bytes, inputs: Sequence[str], bits: object) -> None:
        """Remember what one of ``COUNTED_OPERATORS`` reads.

        Args:
            operator: It.
            inputs: Names.
            bits: Of a weight that it unpacks.
        """
        if operator in _NO_WEIGHTS:
            self._others.update(inputs[place] for place in _NO_WEIGHTS[operator] if place < len(inputs))
            return
        place = PACKED_OPERATORS[operator]
        known = bits if isinstance(bits, int) and bits in _PACKED_BITS else _USUAL_BITS
        self._bits.update(dict.fromkeys(inputs[place : place + 1], known))
        self._scales.update(inputs[_FIRST_SCALES:])

    def by_type(self) -> dict[str, int]:
        """Count them: ``float32``, ``float16``, ``bfloat16``, ``int8``, ``int4``; others are no weights."""
        counts: Counter[str] = Counter()
        seen: set[tuple[str, int]] = set()
        of_blocks = {self._tensors[name].shape for name in self._scales if name in self._tensors}
        # Packed ones first: of two names of the same bytes theirs says how many bits a weight has.
        for name, tensor in sorted(self._tensors.items(), key=lambda item: item[0] not in self._bits):
            if tensor.elements and tensor.place not in seen:
                bits = self._bits.get(name)
                if bits is not None and tensor.dtype == "uint8":
                    counts[f"int{bits}"] += tensor.elements * _BITS_PER_BYTE // bits
                elif self._is_weight(tensor, of_blocks):
                    counts[_WEIGHT_TYPES[tensor.dtype]] += tensor.elements
                else:
                    continue
                if tensor.place is not None:
                    seen.add(tensor.place)
        return dict(counts)

    def _is_weight(self, tensor: OnnxTensor, of_blocks: Collection[tuple[int, ...]]) -> bool:
        if tensor.dtype not in _WEIGHT_TYPES or tensor.name in self._scales or tensor.name in self._others:
            return False
        return len(tensor.shape) != _MATRIX_AXES or tensor.shape not in of_blocks

"""Which form each matrix of a model is given, and how inputs of products are rounded."""

import math
from typing import Self

import attrs

from homeport import BuildPlan, PullError, Quantisation
from homeport.checkpoint import Checkpoint, StoredTensor
from homeport.weights import WeightKind
from homeport_onnx.block_codes import BLOCKS, BlockForm
from homeport_onnx.config import OnnxConfig

INT4, INT8, FP32 = "int4", "int8", "fp32"
INT16 = "int16"
_BITS = {INT4: 4, INT8: 8}
_STORED = {"Q4": INT4, "Q8": INT8}
_DEFAULT_BLOCK = 32
_FEW_WEIGHTS = 500_000_000
"""A model of fewer feels each rounding of inputs, and has the time: SmolLM2-135M spends much of it between
products."""
_MILLION = 1_000_000


@attrs.frozen(kw_only=True)
class WeightChoice:
    """The forms of one model's matrices.

    Attributes:
        name: The type that most weights get: ``int4``, ``int8`` or ``fp32``.
        note: Why it is that one, for people.
        is_asked: Somebody named it; else matrices that are stored as numbers stay numbers, and none loses
            bits that it is stored with.
        group: Columns that share a scale where a matrix is quantised anew to 4 bits; 0 for those of the
            stored matrix.
        regroups: Somebody named the group for this build: packed matrices of others are quantised anew too.
        activations: What inputs of packed products are rounded to: ``int8``, ``int16`` or ``fp32``.
    """

    name: str
    note: str
    is_asked: bool
    group: int
    regroups: bool
    activations: str

    @classmethod
    def make(cls, checkpoint: Checkpoint, plan: BuildPlan, config: OnnxConfig) -> Self:
        """Choose by what is stored, unless the plan or, behind it, the settings say otherwise.

        Raises:
            PullError: The plan's group is none that the operators know.
        """
        if plan.group is not None and plan.group not in BLOCKS:
            raise PullError(
                f"group is {plan.group}, expected one of {', '.join(map(str, BLOCKS))}",
                hint="Leave it out unless you compare",
            )
        asked = config.weights if plan.quantisation is Quantisation.AUTO else str(plan.quantisation)
        count = sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values())
        activations = _activations(config.activations, count)
        name, note = asked, f"{asked} was asked for"
        if asked == Quantisation.AUTO:
            name, note = _by_store(checkpoint.dtype)
        elif asked == Quantisation.BF16:
            name, note = FP32, "bf16 was asked for: the values are kept, float32 is what they are computed in"
        choice = cls(
            name=name,
            note=note,
            is_asked=asked != Quantisation.AUTO,
            group=plan.group or config.group,
            regroups=plan.group is not None,
            activations=activations,
        )
        remarks = [note, choice._loss(checkpoint), _inputs(activations, count)]
        return choice if name == FP32 else attrs.evolve(choice, note="; ".join(filter(None, remarks)))

    def form(self, stored: StoredTensor, *, is_outer: bool = False) -> BlockForm | None:
        """Choose for one matrix; None leaves it numbers.

        Args:
            stored: The matrix as it is stored, or the one that it is a part of.
            is_outer: It is the embedding or the output matrix, which 4 bits are too few for.
        """
        bits = self._bits(stored, is_outer=is_outer)
        if bits is None:
            return None
        block = self._block(stored, bits)
        if stored.shape[1] % block:
            return None
        packed = stored.packed
        keeps_minima = packed is not None and packed.kind is WeightKind.Q4_MIN and packed.group == block
        return BlockForm(bits=bits, block=block, has_offsets=keeps_minima)

    def _loss(self, checkpoint: Checkpoint) -> str:
        """Say that packed weights are quantised once more, where a group was named that is not theirs."""
        groups = {
            tensor.packed.group
            for tensor in checkpoint.tensors.values()
            if tensor.packed is not None and self._bits(tensor, is_outer=False) == _BITS[INT4]
        }
        if not self.regroups or groups <= {self.group}:
            return ""
        return f"those packed in groups of {max(groups)} quantised once more in groups of {self.group}"

    def _bits(self, stored: StoredTensor, *, is_outer: bool) -> int | None:
        bits = _BITS.get(self.name)
        if bits is None:
            return None
        own = None if stored.packed is None else stored.packed.kind.bits
        if not self.is_asked:
            return None if own is None else max(own, bits)
        return _BITS[INT8] if is_outer and own != _BITS[INT4] else bits

    def _block(self, stored: StoredTensor, bits: int) -> int:
        packed = stored.packed
        is_kept = packed is not None and packed.group in BLOCKS and packed.kind.bits <= bits
        if bits == _BITS[INT4] and self.group and (self.regroups or not is_kept):
            wanted = self.group
        elif packed is not None and packed.group in BLOCKS:
            wanted = packed.group
        else:
            wanted = _DEFAULT_BLOCK
        while stored.shape[1] % wanted and wanted > _DEFAULT_BLOCK:
            wanted //= 2
        return wanted


def _by_store(dtype: str) -> tuple[str, str]:
    stored = _STORED.get(dtype)
    if stored is None:
        return FP32, f"its weights are stored as {dtype}"
    return stored, f"its weights are stored as {stored}"


def _activations(asked: str, weights: int) -> str:
    if asked != Quantisation.AUTO:
        return asked
    return INT16 if weights < _FEW_WEIGHTS else INT8


def _inputs(activations: str, weights: int) -> str:
    told = f"inputs of products in {activations}"
    return f"{told}, which so small a model feels" if activations == INT8 and weights < _FEW_WEIGHTS else told

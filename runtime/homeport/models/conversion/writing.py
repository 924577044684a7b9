"""Writing the weights of a model in their chosen forms."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.domain.errors import PullError
from homeport.models.conversion.bfloat16 import narrow
from homeport.models.conversion.room import check_room
from homeport.models.conversion.safetensors_file import (
    PlannedWeight,
    Progress,
    TensorPlan,
    write_safetensors,
)
from homeport.models.conversion.source_weight import SourceWeight
from homeport.models.conversion.weight_forms import Form
from homeport.weights import (
    DEFAULT_GROUP,
    PackedMatrix,
    WeightKind,
    quantise_q4,
    quantise_q8,
    stored_parts,
    stored_shapes,
    write_metadata,
)

_BLOCK_ROWS = 1024
_QUANTISERS = {Form.Q4: quantise_q4, Form.Q8: quantise_q8}
_KINDS = {Form.Q4: WeightKind.Q4, Form.Q8: WeightKind.Q8}
_NUMBERS: Mapping[Form, tuple[type[np.generic], Callable[[NDArray[np.generic]], NDArray[np.generic]]]] = {
    Form.BF16: (np.uint16, narrow),
    Form.F32: (np.float32, np.asarray),
}


@attrs.frozen(kw_only=True)
class WeightsWriter:
    """Writes model.safetensors, one weight after the other.

    Attributes:
        forms: What each weight becomes, by its name.
        threads: How many quantise.
        group: Columns that share a scale in newly packed weights.
        room_bytes: What may be written.
    """

    forms: Mapping[str, Form]
    threads: int
    group: int = DEFAULT_GROUP
    room_bytes: int

    def write(self, path: Path, weights: Sequence[SourceWeight], progress: Progress) -> int:
        """Write the file and give the bytes of its tensors.

        Raises:
            PullError: It does not fit on the disk, or holds weights that cannot be packed.
        """
        planned = [self._plan(weight) for weight in weights]
        size = sum(plan.size for weight in planned for plan in weight.plans)
        check_room(size, self.room_bytes)
        packed = {weight.name: weight.shape[0] for weight in weights if self._kind(weight) is not None}
        write_safetensors(path, planned, write_metadata(packed) if packed else {}, progress)
        return size

    def _kind(self, weight: SourceWeight) -> WeightKind | None:
        """Give the packed form that a weight will have; None where it is written as numbers."""
        form = self.forms[weight.name]
        return weight.kind if form is Form.KEPT else _KINDS.get(form)

    def _plan(self, weight: SourceWeight) -> PlannedWeight:
        form, kind = self.forms[weight.name], self._kind(weight)
        if kind is not None:
            group = weight.group if form is Form.KEPT else self._group(weight)
            shape = (weight.shape[0], weight.shape[1])
            shapes = stored_shapes(weight.name, kind, shape, group)
            plans = tuple(TensorPlan(name, stored.dtype, stored.shape) for name, stored in shapes.items())
            return PlannedWeight(plans, lambda: self._packed(weight))
        if form in _NUMBERS and form.value != weight.dtype:
            plan = TensorPlan(weight.name, form.value, weight.shape)
            return PlannedWeight((plan,), lambda: [_converted(weight, form)])
        plan = TensorPlan(weight.name, weight.dtype, weight.shape)
        return PlannedWeight((plan,), lambda: [weight.values()])

    def _packed(self, weight: SourceWeight) -> Sequence[NDArray[np.generic]]:
        try:
            matrix = self._matrix(weight)
        except ValueError as error:
            raise PullError(
                str(error), hint="keep the weights as numbers: pull it with --quant bf16, or --quant fp32"
            ) from error
        return tuple(stored_parts(weight.name, matrix).values())

    def _matrix(self, weight: SourceWeight) -> PackedMatrix:
        form = self.forms[weight.name]
        if form is Form.KEPT and weight.packed is not None:
            return weight.packed()
        return _QUANTISERS[form](
            weight.rows(), group=self._group(weight), threads=self.threads, name=weight.name
        )

    def _group(self, weight: SourceWeight) -> int:
        return DEFAULT_GROUP if weight.shape[1] % self.group else self.group


def _converted(weight: SourceWeight, form: Form) -> NDArray[np.generic]:
    """Turn a matrix into other numbers, some rows at a time."""
    dtype, convert = _NUMBERS[form]
    rows = weight.rows()
    result = np.empty(weight.shape, dtype)
    for begin in range(0, len(result), _BLOCK_ROWS):
        block = slice(begin, min(begin + _BLOCK_ROWS, len(result)))
        result[block] = convert(rows[block])
    return result

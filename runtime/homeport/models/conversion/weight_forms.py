"""Which form each weight of a model is kept in."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum

import attrs

from homeport.domain.errors import PullError
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.conversion.source_weight import SourceWeight
from homeport.weights import DEFAULT_GROUP

PLAIN_FAMILIES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "smollm3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "phi3",
)
"""Decoders all of whose matrices are linear layers, an embedding and an output matrix."""

_INT4_FROM = 1_000_000_000
_INT8_FROM = 300_000_000
"""Weights from which on ``auto`` packs (requirements 13.3): smaller models lose more and gain less."""
_LAYER = re.compile(r".*_proj\.weight")
_TABLES = frozenset({"model.embed_tokens.weight", "lm_head.weight"})
_MATRIX = 2
_BILLION = 1e9
_EXACT_TYPES = frozenset({"Q4", "Q8", "Q4_0", "Q4_1", "Q8_0", "Q5_0", "IQ4_NL"})
"""Quantised types whose bits the packed form holds; the first two are its own."""
_ROUNDED_TYPE = "Q4_K"
"""Its scales are rounded to float16."""
_LABELS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "Q4": "int4", "Q8": "int8"}


class Form(Enum):
    """What a weight is written as."""

    KEPT = "kept"
    """As the source has it: the same floats, or the packed form that holds its quantised bits."""
    Q4 = "Q4"
    Q8 = "Q8"
    BF16 = "BF16"
    F32 = "F32"


@attrs.frozen
class WeightForms:
    """The decision.

    Attributes:
        forms: By the names of the weights.
        note: Why, for people.
    """

    forms: Mapping[str, Form]
    note: str

    @property
    def keeps_all(self) -> bool:
        """Whether every weight stays as it is."""
        return set(self.forms.values()) <= {Form.KEPT}


def is_layer(weight: SourceWeight) -> bool:
    """Say whether a weight is a linear layer inside the decoder."""
    return len(weight.shape) == _MATRIX and _LAYER.fullmatch(weight.name) is not None


def choose_forms(
    wish: WeightsWish, config: Mapping[str, object], weights: Sequence[SourceWeight], *, generates: bool
) -> WeightForms:
    """Decide.

    Args:
        wish: What is wanted.
        config: config.json.
        weights: All weights of the model.
        generates: Whether it is a decoder.

    Raises:
        PullError: What was demanded cannot be done.
    """
    chosen, note = wish.quantisation, "as asked for"
    obstacle = _obstacle(config, weights, generates=generates)
    if chosen is Quantisation.AUTO:
        chosen, note = _automatic(weights) if obstacle is None else (chosen, obstacle)
    elif obstacle is not None and wish.is_demanded:
        raise PullError(
            f"the weights of this model cannot be made {chosen.value}: {obstacle}",
            hint="pull it without --quant to keep them as they are",
        )
    if obstacle is not None or chosen is Quantisation.AUTO:
        return WeightForms({weight.name: Form.KEPT for weight in weights}, obstacle or note)
    return WeightForms({weight.name: _form(weight, chosen) for weight in weights}, note)


def _obstacle(
    config: Mapping[str, object], weights: Sequence[SourceWeight], *, generates: bool
) -> str | None:
    """Say why the weights of a model must stay as they are."""
    if not generates:
        return "encoders are kept as they were published"
    if config.get("quantization_config"):
        return "they were published quantised in a way of their own"
    family = config.get("model_type")
    if family not in PLAIN_FAMILIES:
        return f"models of type {family!r:.40} are kept as they were published"
    if not any(is_layer(weight) and (weight.is_float or weight.kind) for weight in weights):
        return "none of them is a linear layer by its name"
    return None


def _automatic(weights: Sequence[SourceWeight]) -> tuple[Quantisation, str]:
    """Choose by what the source has and by size; AUTO keeps everything."""
    if any(weight.kind for weight in weights):
        return Quantisation.AUTO, _kept(weights)
    count = sum(weight.elements for weight in weights if weight.is_float)
    size = f"the model has {count / _BILLION:.2f} billion weights"
    if count > _INT4_FROM:
        return Quantisation.INT4, f"{size}, int4 is for more than {_INT4_FROM / _BILLION:g}"
    if count >= _INT8_FROM:
        return (
            Quantisation.INT8,
            f"{size}, int8 is for {_INT8_FROM / _BILLION:g} to {_INT4_FROM / _BILLION:g}",
        )
    return Quantisation.AUTO, f"{size}, fewer than {_INT8_FROM / _BILLION:g} are kept as published"


def _kept(weights: Sequence[SourceWeight]) -> str:
    """Say what becomes of weights that came quantised, and what is lost where bits cannot be kept."""
    kinds = {weight.dtype for weight in weights if weight.kind and weight.dtype not in _EXACT_TYPES}
    losses = [f"{_ROUNDED_TYPE}, which moves by at most 1 % of a step"] if _ROUNDED_TYPE in kinds else []
    anew = ", ".join(sorted(kinds - {_ROUNDED_TYPE}))
    losses += [f"{anew}, made 8 bits anew: off by at most 0.4 % of the largest of 32"] if anew else []
    note = "the source is quantised, its bits are kept"
    return f"{note} but for {'; '.join(losses)}" if losses else note


def _form(weight: SourceWeight, chosen: Quantisation) -> Form:
    is_number = weight.is_float or weight.kind is not None
    if not is_number or len(weight.shape) != _MATRIX:
        return Form.KEPT
    if chosen is Quantisation.FP32:
        return Form.F32
    if chosen is Quantisation.BF16:
        return Form.BF16
    if not (is_layer(weight) or weight.name in _TABLES):
        return Form.KEPT
    if weight.shape[1] % DEFAULT_GROUP:
        return Form.BF16 if weight.dtype == "F32" else Form.KEPT
    return _packed_form(weight, chosen)


def _packed_form(weight: SourceWeight, chosen: Quantisation) -> Form:
    """Choose between 4 and 8 bits, and leave alone what is quantised as far already."""
    wants_8_bits = chosen is Quantisation.INT8
    if not is_layer(weight) and not wants_8_bits:
        return Form.Q8 if weight.kind is None else Form.KEPT
    form = Form.Q8 if wants_8_bits else Form.Q4
    return Form.KEPT if weight.kind is not None and f"Q{weight.kind.bits}" == form.value else form


def weights_label(weights: Sequence[SourceWeight], forms: WeightForms) -> str:
    """Name the type that most of a decoder's layers, or of all weights of other models, are kept in."""
    counts: Counter[str] = Counter()
    for weight in [each for each in weights if is_layer(each)] or weights:
        form = forms.forms[weight.name]
        kept = weight.dtype if weight.kind is None else f"Q{weight.kind.bits}"
        counts[kept if form is Form.KEPT else form.value] += weight.elements
    most = max(counts, key=counts.__getitem__, default="")
    return _LABELS.get(most, most.lower())

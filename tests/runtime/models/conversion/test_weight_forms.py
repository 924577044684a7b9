import math

import pytest

from homeport.domain.errors import PullError
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.conversion.source_weight import SourceWeight
from homeport.models.conversion.weight_forms import PLAIN_FAMILIES, Form, choose_forms, weights_label
from homeport.weights import WeightKind

LAYER = "model.layers.0.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
NORM = "model.norm.weight"
LLAMA = {"model_type": "llama"}
KINDS = {
    "Q4_0": WeightKind.Q4,
    "Q4_1": WeightKind.Q4_MIN,
    "Q4_K": WeightKind.Q4_MIN,
    "Q8_0": WeightKind.Q8,
    "Q6_K": WeightKind.Q8,
}


def weight(name, shape, dtype="BF16"):
    def unread():
        raise AssertionError("a decision reads no weights")

    return SourceWeight(
        name=name,
        dtype=dtype,
        shape=shape,
        values=unread,
        rows=unread,
        stored_bytes=math.prod(shape) * 2,
        kind=KINDS.get(dtype),
    )


def decoder(count=10**6, dtype="BF16", table_dtype=None, cols=1024):
    """A decoder of so many weights in one layer, besides a small table and a norm."""
    return [
        weight(LAYER, (count // cols, cols), dtype),
        weight(EMBEDDING, (64, cols), table_dtype or dtype),
        weight(HEAD, (64, cols), table_dtype or dtype),
        weight(NORM, (cols,), "F32"),
    ]


def forms(quantisation, weights, config=LLAMA, *, generates=True, is_demanded=False):
    wish = WeightsWish(Quantisation(quantisation), is_demanded)
    return choose_forms(wish, config, weights, generates=generates)


def names_of(chosen):
    return [chosen.forms[name] for name in (LAYER, EMBEDDING, HEAD, NORM)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1_200_000_000, [Form.Q4, Form.Q8, Form.Q8, Form.KEPT]),
        (999_000_000, [Form.Q8, Form.Q8, Form.Q8, Form.KEPT]),
        (300_000_000, [Form.Q8, Form.Q8, Form.Q8, Form.KEPT]),
        (299_000_000, [Form.KEPT] * 4),
    ],
)
def test_auto_goes_by_size(count, expected):
    """Large models become int4 with 8-bit tables, middle ones int8, small ones stay as they are."""
    chosen = forms("auto", decoder(count))
    assert names_of(chosen) == expected
    assert "billion weights" in chosen.note


@pytest.mark.parametrize("dtype", ["Q4_0", "Q4_1", "Q8_0", "Q6_K"])
def test_auto_keeps_the_bits_of_a_quantised_source(dtype):
    """What was quantised with care is not quantised again, whatever its size."""
    chosen = forms("auto", decoder(2 * 10**9, dtype))
    assert chosen.keeps_all
    assert "its bits are kept" in chosen.note


@pytest.mark.parametrize(
    ("dtype", "loss"),
    [("Q4_0", None), ("Q8_0", None), ("Q4_K", "1 % of a step"), ("Q6_K", "Q6_K, made 8 bits")],
)
def test_what_is_lost_of_a_quantised_source_is_told(dtype, loss):
    """The note names the types whose bits no packed form holds, and no others."""
    note = forms("auto", decoder(2 * 10**9, dtype)).note
    assert ("but for" in note) == (loss is not None)
    assert loss is None or loss in note


@pytest.mark.parametrize(
    ("quantisation", "dtype", "expected"),
    [
        ("int4", "BF16", [Form.Q4, Form.Q8, Form.Q8, Form.KEPT]),
        ("int4", "Q4_1", [Form.KEPT] * 4),
        ("int4", "Q6_K", [Form.Q4, Form.KEPT, Form.KEPT, Form.KEPT]),
        ("int8", "F16", [Form.Q8, Form.Q8, Form.Q8, Form.KEPT]),
        ("int8", "Q8_0", [Form.KEPT] * 4),
        ("int8", "Q4_0", [Form.Q8, Form.Q8, Form.Q8, Form.KEPT]),
        ("bf16", "F32", [Form.BF16, Form.BF16, Form.BF16, Form.KEPT]),
        ("fp32", "Q4_0", [Form.F32, Form.F32, Form.F32, Form.KEPT]),
    ],
)
def test_what_is_asked_for_is_done(quantisation, dtype, expected):
    """A forced type reaches all matrices, and spares what has it already."""
    assert names_of(forms(quantisation, decoder(dtype=dtype))) == expected


@pytest.mark.parametrize(("dtype", "expected"), [("F32", Form.BF16), ("BF16", Form.KEPT), ("F16", Form.KEPT)])
def test_columns_that_make_no_groups_stay_numbers(dtype, expected):
    """A matrix whose columns are no multiple of 32 has 16 bits."""
    odd = [weight(LAYER, (4, 48), dtype), weight("model.layers.1.mlp.up_proj.weight", (4, 64), dtype)]
    assert forms("int4", odd).forms[LAYER] is expected


@pytest.mark.parametrize(
    ("config", "generates", "reason"),
    [
        ({"model_type": "bert"}, False, "encoders"),
        ({"model_type": "mamba"}, True, "type 'mamba'"),
        ({"model_type": "llama", "quantization_config": {"bits": 4}}, True, "way of their own"),
    ],
)
@pytest.mark.parametrize("quantisation", ["auto", "int4", "int8", "bf16", "fp32"])
def test_other_models_stay_as_they_are_and_say_why(config, generates, reason, quantisation):
    """What the rules were not made for is left alone by a setting, and refused when asked for by name."""
    chosen = forms(quantisation, decoder(2 * 10**9), config, generates=generates)
    assert chosen.keeps_all
    assert reason in chosen.note
    if quantisation != "auto":
        with pytest.raises(PullError, match=rf"cannot be made {quantisation}: .*{reason}") as caught:
            forms(quantisation, decoder(), config, generates=generates, is_demanded=True)
        assert "--quant" in caught.value.hint


def test_auto_is_never_refused():
    """Whoever leaves the choice to homeport gets a model."""
    assert forms("auto", decoder(), {"model_type": "bert"}, generates=False, is_demanded=True).keeps_all


def test_names_that_are_unknown_are_no_linear_layers():
    """A decoder whose layers have other names is not guessed at."""
    chosen = forms("int4", [weight("transformer.h.0.mlp.c_fc.weight", (64, 64))])
    assert chosen.keeps_all
    assert "by its name" in chosen.note


def test_indices_and_biases_are_never_touched():
    """Only matrices of numbers are packed."""
    weights = [*decoder(), weight("x_proj.weight", (64, 64), "I64"), weight("model.q_proj.bias", (64,))]
    for quantisation in ("int4", "bf16"):
        chosen = forms(quantisation, weights).forms
        assert (chosen["x_proj.weight"], chosen["model.q_proj.bias"]) == (Form.KEPT, Form.KEPT)


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_all_plain_families_are_packed(family):
    """Every family of the fast path."""
    assert forms("int4", decoder(), {"model_type": family}).forms[LAYER] is Form.Q4


@pytest.mark.parametrize(
    ("quantisation", "dtype", "label"),
    [
        ("auto", "BF16", "bf16"),
        ("auto", "F16", "fp16"),
        ("auto", "Q4_1", "int4"),
        ("auto", "Q6_K", "int8"),
        ("int4", "BF16", "int4"),
        ("fp32", "Q8_0", "fp32"),
    ],
)
def test_label_names_what_the_layers_are(quantisation, dtype, label):
    """Tables of another type do not change it."""
    weights = decoder(dtype=dtype, table_dtype="F32")
    assert weights_label(weights, forms(quantisation, weights)) == label

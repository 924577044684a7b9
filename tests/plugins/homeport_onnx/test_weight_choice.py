"""Forms follow what is stored, unless somebody says otherwise."""

from pathlib import Path

import pytest

from homeport import BuildPlan, PullError, Quantisation
from homeport.checkpoint import Checkpoint, StoredTensor
from homeport.weights import PackedTensor, WeightKind
from homeport_onnx.config import OnnxConfig
from homeport_onnx.weight_choice import WeightChoice

FEW, MANY = 1024, 1024 * 1024
FILE = Path("model.safetensors")
Q4, Q4_MIN, Q8 = WeightKind.Q4, WeightKind.Q4_MIN, WeightKind.Q8


def packed(kind, rows=FEW, cols=1024, group=32):
    return StoredTensor(
        file=FILE,
        dtype="Q8" if kind is Q8 else "Q4",
        shape=(rows, cols),
        packed=PackedTensor(kind=kind, rows=rows, cols=cols, group=group, codes="c", scales="s"),
    )


def plain(rows=FEW, cols=1024, dtype="BF16"):
    return StoredTensor(file=FILE, dtype=dtype, shape=(rows, cols))


def choose(*tensors, quantisation=Quantisation.AUTO, group=None, **settings):
    checkpoint = Checkpoint(path=Path(), config={}, tensors={str(n): t for n, t in enumerate(tensors)})
    plan = BuildPlan(quantisation=quantisation, group=group)
    return WeightChoice.make(checkpoint, plan, OnnxConfig(**settings))


def bits(choice, tensor, **where):
    form = choice.form(tensor, **where)
    return None if form is None else form.bits


@pytest.mark.parametrize(
    ("stored", "name", "bits_of"),
    [
        ([packed(Q4, MANY)], "int4", {Q4: 4, Q4_MIN: 4, Q8: 8}),
        ([packed(Q4_MIN, FEW)], "int4", {Q4: 4, Q4_MIN: 4, Q8: 8}),
        ([packed(Q8, MANY)], "int8", {Q4: 8, Q8: 8}),
        ([plain(MANY)], "fp32", {Q4: None, Q8: None}),
    ],
)
def test_auto_goes_by_what_is_stored(stored, name, bits_of):
    """Nothing loses bits, and numbers stay numbers."""
    choice = choose(*stored)

    assert choice.name == name
    assert choice.note
    assert {kind: bits(choice, packed(kind)) for kind in bits_of} == bits_of
    assert bits(choice, plain()) is None


@pytest.mark.parametrize(("name", "inner", "outer"), [("int4", 4, 8), ("int8", 8, 8), ("fp32", None, None)])
def test_what_is_asked_for_is_done(name, inner, outer):
    """By the setting, or by the plan; embedding and output matrix keep 8 bits."""
    for choice in (choose(packed(Q8), weights=name), choose(packed(Q8), quantisation=Quantisation(name))):
        assert choice.name == name
        for tensor in (plain(), packed(Q8)):
            assert bits(choice, tensor) == inner
            assert bits(choice, tensor, is_outer=True) == outer


def test_an_embedding_stored_with_4_bits_is_not_widened_for_4():
    choice = choose(packed(Q4), weights="int4")
    assert bits(choice, packed(Q4), is_outer=True) == 4


def test_the_plan_goes_before_the_settings():
    choice = choose(packed(Q8), quantisation=Quantisation.INT8, weights="int4")
    assert choice.name == "int8"


def test_bf16_keeps_its_values_in_float32():
    choice = choose(plain(), quantisation=Quantisation.BF16)
    assert (choice.name, bits(choice, plain())) == ("fp32", None)
    assert "float32" in choice.note


@pytest.mark.parametrize(
    ("tensor", "group", "block"),
    [
        (plain(), None, 32),
        (plain(), 128, 128),
        (plain(cols=64 * 3), 128, 64),
        (packed(Q4, group=64), None, 64),
        (packed(Q4, group=64), 32, 32),
        (packed(Q4, cols=1024, group=512), None, 32),
    ],
)
def test_blocks_are_the_asked_the_stored_or_32_columns(tensor, group, block):
    assert choose(tensor, quantisation=Quantisation.INT4, group=group).form(tensor).block == block


def test_a_group_is_for_4_bits_alone():
    tensor = packed(Q8, group=32)
    assert choose(tensor, weights="int8", group=128).form(tensor).block == 32


@pytest.mark.parametrize("weights", ["int4", "int8"])
def test_minima_become_offsets_where_blocks_stay(weights):
    tensor = packed(Q4_MIN, group=32)
    assert choose(tensor, weights=weights).form(tensor).has_offsets


def test_other_blocks_than_the_stored_ones_have_no_offsets():
    tensor = packed(Q4_MIN, group=32)
    assert not choose(tensor, weights="int4", group=64).form(tensor).has_offsets


@pytest.mark.parametrize("weights", ["auto", "int4"])
def test_the_groups_of_packed_weights_are_no_matter_of_settings(weights):
    """The setting is for weights that are quantised anyway: others lose nothing unasked."""
    checkpoint = Checkpoint(path=Path(), config={}, tensors={"0": packed(Q4_MIN)})
    choice = WeightChoice.make(checkpoint, BuildPlan(), OnnxConfig(weights=weights, group=64))
    assert choice.form(packed(Q4_MIN)).block == 32
    assert "once more" not in choice.note


def test_the_note_tells_of_a_second_rounding():
    note = choose(packed(Q4_MIN), group=64).note
    assert "those packed in groups of 32 quantised once more in groups of 64" in note
    assert "once more" not in choose(packed(Q4_MIN), group=32).note
    assert "once more" not in choose(packed(Q8), group=64).note


def test_the_note_tells_that_small_models_feel_rounded_inputs():
    assert choose(packed(Q4), activations="int8").note.endswith("int8, which so small a model feels")
    assert choose(packed(Q4), activations="int16").note.endswith("inputs of products in int16")


def test_columns_that_make_no_blocks_stay_numbers():
    tensor = plain(cols=100)
    assert choose(tensor, weights="int4").form(tensor) is None


def test_a_group_that_no_operator_knows_is_refused():
    with pytest.raises(PullError, match="group is 48, expected one of 16, 32, 64"):
        choose(plain(), group=48)

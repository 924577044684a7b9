"""Settings say what they are and refuse what they do not know."""

import attrs
import pytest

from homeport import ConfigError
from homeport_transformers.config import TransformersConfig


@pytest.mark.parametrize("dtype", ["auto", "fp32", "bf16"])
def test_known_types_are_accepted(dtype):
    """Each documented type is a valid setting."""
    assert TransformersConfig(dtype=dtype).dtype == dtype


@pytest.mark.parametrize("dtype", ["fp16", "", "BF16", 32])
def test_an_unknown_type_names_the_choices(dtype):
    """A type outside the list is refused with its value and the list."""
    with pytest.raises(ConfigError, match=f"dtype: must be one of auto, fp32, bf16, got {dtype!r}"):
        TransformersConfig(dtype=dtype)


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("isa", "sse2", "auto, amx, avx512, avx2, torch"),
        ("isa", "AVX512", "auto, amx, avx512, avx2, torch"),
        ("activations", "fp8", "auto, int8, int16"),
        ("activations", 8, "auto, int8, int16"),
    ],
)
def test_an_unknown_choice_names_the_setting_and_what_there_is(name, value, choices):
    """Instruction sets and precisions outside their lists are refused with value and list."""
    with pytest.raises(ConfigError, match=f"{name}: must be one of {choices}, got {value!r}"):
        TransformersConfig(**{name: value})


def test_lean_is_a_switch():
    """Only true and false turn the lean pass on and off."""
    with pytest.raises(TypeError, match="lean"):
        TransformersConfig(lean="yes")


def test_each_setting_has_a_default_and_a_summary():
    """Settings can be listed and left out."""
    assert TransformersConfig() == TransformersConfig(dtype="auto", lean=True)
    assert all(field.metadata["summary"] for field in attrs.fields(TransformersConfig))

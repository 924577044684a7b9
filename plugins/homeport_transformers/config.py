"""Settings of the backend, ``[plugins.transformers-cpu]``."""

from typing import Any

import attrs

from homeport import ConfigError

DTYPES = ("auto", "fp32", "bf16")
"""Types that unpacked weights, and keys and values, can be held and multiplied in."""
ACTIVATIONS = ("auto", "int8", "int16")
"""Precision of what is multiplied with packed weights."""
INSTRUCTION_SETS = ("auto", "amx", "avx512", "avx2", "torch")
"""What the native kernels may use; ``torch`` does without them."""


def _one_of(choices: tuple[str, ...], advice: str) -> Any:  # noqa: ANN401 - attrs has no public name for it
    def check(_: object, field: "attrs.Attribute[str]", value: str) -> None:
        if value not in choices:
            listed = ", ".join(repr(name) for name in choices)
            raise ConfigError(
                f"[plugins.transformers-cpu] {field.name} is {value!r}, expected one of {listed}", hint=advice
            )

    return check


@attrs.frozen(kw_only=True)
class TransformersConfig:
    """How models are computed.

    Attributes:
        dtype: Type of unpacked weights and of the cache. ``auto`` takes fp32 for weights stored in fp32 or
            fp16 and bf16 otherwise; packed weights keep their type and have a bf16 cache.
        isa: Instruction set of the native kernels. ``auto`` takes the best that this CPU has; one that it
            has not is an error when a model is loaded; ``torch`` computes without the kernels.
        activations: What inputs of packed products are rounded to. ``int16`` is twice the arithmetic and
            nearly as exact as floats; ``auto`` takes it for models of less than half a billion weights,
            which feel the rounding most and are quick.
        lean: False sends every decoder through transformers' own modelling code.
    """

    dtype: str = attrs.field(
        default="auto",
        validator=_one_of(DTYPES, 'Write dtype = "auto" unless you compare types'),
        metadata={"summary": "type of unpacked weights and of the cache: auto, fp32 or bf16"},
    )
    isa: str = attrs.field(
        default="auto",
        validator=_one_of(INSTRUCTION_SETS, 'Write isa = "auto" unless you compare instruction sets'),
        metadata={"summary": "instruction set of the native kernels: auto, amx, avx512, avx2 or torch"},
    )
    activations: str = attrs.field(
        default="auto",
        validator=_one_of(ACTIVATIONS, 'Write activations = "auto" unless you compare precisions'),
        metadata={"summary": "precision of what is multiplied with packed weights: auto, int8 or int16"},
    )
    lean: bool = attrs.field(
        default=True,
        validator=attrs.validators.instance_of(bool),
        metadata={"summary": "run known families through homeport's own forward pass"},
    )

"""Settings of the backend, ``[plugins.transformers-cpu]``."""

import attrs

from homeport import one_of, setting

DTYPES = ("auto", "fp32", "bf16")
"""Types that unpacked weights, and keys and values, can be held and multiplied in."""
ACTIVATIONS = ("auto", "int8", "int16")
"""Precision of what is multiplied with packed weights."""
INSTRUCTION_SETS = ("auto", "amx", "avx512", "avx2", "torch")
"""What the native kernels may use; ``torch`` does without them."""


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

    dtype: str = setting(
        "auto", "type of unpacked weights and of the cache: auto, fp32 or bf16", check=one_of(DTYPES)
    )
    isa: str = setting(
        "auto",
        "instruction set of the native kernels: auto, amx, avx512, avx2 or torch",
        check=one_of(INSTRUCTION_SETS),
    )
    activations: str = setting(
        "auto",
        "precision of what is multiplied with packed weights: auto, int8 or int16",
        check=one_of(ACTIVATIONS),
    )
    lean: bool = attrs.field(
        default=True,
        validator=attrs.validators.instance_of(bool),
        metadata={"summary": "run known families through homeport's own forward pass"},
    )

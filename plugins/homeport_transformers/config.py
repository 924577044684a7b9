"""Settings of the backend, ``[plugins.transformers-cpu]``."""

import attrs

from homeport import ConfigError

DTYPES = ("auto", "fp32", "bf16")
"""Types that weights can be held and multiplied in."""


def _known_dtype(_: object, __: object, value: str) -> None:
    if value not in DTYPES:
        choices = ", ".join(repr(name) for name in DTYPES)
        raise ConfigError(
            f"[plugins.transformers-cpu] dtype is {value!r}, expected one of {choices}",
            hint='Write dtype = "auto" unless you compare types',
        )


@attrs.frozen(kw_only=True)
class TransformersConfig:
    """How models are computed.

    Attributes:
        dtype: ``auto`` takes bf16 when the weights are stored so and the CPU multiplies it natively, and
            fp32 otherwise.
        lean: False sends every decoder through transformers' own modelling code.
    """

    dtype: str = attrs.field(
        default="auto",
        validator=_known_dtype,
        metadata={"summary": "type of weights and arithmetic: auto, fp32 or bf16"},
    )
    lean: bool = attrs.field(
        default=True,
        validator=attrs.validators.instance_of(bool),
        metadata={"summary": "run Llama-shaped models through homeport's own forward pass"},
    )

"""Settings of the backend, ``[plugins.onnx-cpu]``."""

import attrs

from homeport import between, one_of, setting

WEIGHTS = ("auto", "int4", "int8", "fp32")
"""Types that a build can give to weights."""
GROUPS = (0, 32, 64, 128)
"""Columns that can share a scale; 0 is chosen by the model."""
ACTIVATIONS = ("auto", "int8", "int16", "fp32")
"""Types that inputs of packed products are rounded to."""
BUILDER_VERSION = 2
"""Counts up when equal models would become other builds. It stands here because the host knows it too."""
_LONGEST_SPIN_MICROSECONDS = 1_000_000


@attrs.frozen(kw_only=True)
class OnnxConfig:
    """How models are built and computed.

    Attributes:
        weights: Type that a build gives to weights; encoders have 8 bits at least. ``auto`` keeps what is
            stored: codes of 4 and 8 bits, and float32 for weights that are stored as numbers.
        group: Columns of a 4-bit matrix that share a scale, where weights are quantised anew; 0 takes that of
            the stored weights, or 32.
        activations: What inputs of packed products are rounded to, in blocks as wide as a group. ``int16``
            is nearly exact and takes a third more time for a token, twice as much for a prompt; ``auto``
            takes it for models of less than half a billion weights, whose answers int8 changes. ``fp32`` is
            for comparisons: 20 times slower with weights of 8 bits.
        spin_microseconds: How long threads wait awake for their next part of a step; 0 sleeps at once. A
            token of a 135M model (2 threads on 2 cores) took a quarter less time with 1000 than with 200, and
            a third less than with 0; while others kept both cores busy it was the other way round.
    """

    weights: str = setting(
        "auto", "type that a build gives to weights: auto, int4, int8 or fp32", check=one_of(WEIGHTS)
    )
    group: int = setting(
        0,
        "columns that share a scale where weights are quantised anew to 4 bits: 32, 64 or 128; 0 chooses",
        check=one_of(GROUPS),
    )
    activations: str = setting(
        "auto",
        "type that inputs of packed products are rounded to: auto, int8 (harms small models), int16, fp32",
        check=one_of(ACTIVATIONS),
    )
    spin_microseconds: int = setting(
        1000,
        "how long threads wait awake for their next part of a step",
        check=between(0, _LONGEST_SPIN_MICROSECONDS),
        builds=False,
    )

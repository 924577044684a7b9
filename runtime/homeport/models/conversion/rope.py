"""Rotary position settings of GGUF files, as config.json spells them."""

import math

import numpy as np
from numpy.typing import NDArray

from homeport.domain.errors import PullError
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.gguf_file import GgufFile

FREQUENCY_TENSOR = "rope_freqs.weight"
"""Divisors of the rotary frequencies; files of Llama 3.1 and later have it."""

_DEFAULT_THETA = 10_000.0
_LLAMA3_LOW_FACTOR = 1.0
_LLAMA3_HIGH_FACTOR = 4.0
_LLAMA3_CONTEXT = 8192
_TOLERANCE = 1e-4


def rope_parameters(own: Fields, file: GgufFile, head: int) -> dict[str, object]:
    """Build ``rope_parameters``.

    Args:
        own: Fields of the architecture.
        file: For the tensor of divisors.
        head: Width of a head.

    Raises:
        PullError: The scaling is of a kind that cannot be told for sure.
    """
    theta = own.number("rope.freq_base", _DEFAULT_THETA)
    kind = own.text("rope.scaling.type", "none")
    if FREQUENCY_TENSOR in file.tensors:
        return _llama3_parameters(file, head, theta)
    if kind == "none":
        return {"rope_type": "default", "rope_theta": theta}
    if kind == "linear":
        return {"rope_type": "linear", "rope_theta": theta, "factor": own.number("rope.scaling.factor")}
    raise PullError(f"rotary scaling of type {kind!r} cannot be converted, only none, linear and Llama 3's")


def _llama3_parameters(file: GgufFile, head: int, theta: float) -> dict[str, object]:
    """Recognise Llama 3's scaling by its divisors: all published files use the same bounds."""
    tensor = file.tensors[FREQUENCY_TENSOR]
    if tensor.kind.name != "F32" or tensor.shape != (head // 2,):
        raise PullError(
            f"{FREQUENCY_TENSOR} is {tensor.kind.name} of shape {tensor.shape}, expected F32 ({head // 2},)"
        )
    divisors = file.raw(tensor).view(np.float32)
    factor = float(divisors.max())
    if not math.isfinite(factor) or not np.allclose(
        divisors, llama3_divisors(head, theta, factor), rtol=_TOLERANCE
    ):
        raise PullError(f"{FREQUENCY_TENSOR} holds another scaling than Llama 3's, which cannot be converted")
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": factor,
        "low_freq_factor": _LLAMA3_LOW_FACTOR,
        "high_freq_factor": _LLAMA3_HIGH_FACTOR,
        "original_max_position_embeddings": _LLAMA3_CONTEXT,
    }


def llama3_divisors(head: int, theta: float, factor: float) -> NDArray[np.float64]:
    """What Llama 3.1 divides its rotary frequencies by: [head / 2].

    Long waves by ``factor``, short ones by 1, and a blend of both between
    (https://github.com/meta-llama/llama-models, ``apply_scaling``).
    """
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head, 2) / head)
    blend = (_LLAMA3_CONTEXT / wavelengths - _LLAMA3_LOW_FACTOR) / (_LLAMA3_HIGH_FACTOR - _LLAMA3_LOW_FACTOR)
    blend = np.clip(blend, 0.0, 1.0)
    divisors: NDArray[np.float64] = 1 / ((1 - blend) / factor + blend)
    return divisors

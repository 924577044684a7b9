"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864) and its scalings in Llama-shaped models."""

import math
from collections.abc import Mapping
from typing import Self

import attrs
import torch

from homeport import LoadError
from homeport_transformers.checkpoint import REPAIR_HINT

_DEFAULT_THETA = 10_000.0
ROPE_TYPES = ("default", "linear", "llama3")
"""Scalings that do not change with the length of the sequence, as transformers names them."""


def rope_settings(config: Mapping[str, object]) -> dict[str, object]:
    """Gather the rotary settings of a config.json in the order of precedence that transformers applies.

    Older files spell them ``rope_scaling`` (with ``type``) and ``rope_theta``, newer ``rope_parameters``.
    """
    stored = config.get("rope_scaling") or config.get("rope_parameters") or {}
    settings = dict(stored) if isinstance(stored, dict) else {}
    settings.setdefault("rope_type", settings.get("type", "default"))
    settings.setdefault("rope_theta", config.get("rope_theta", _DEFAULT_THETA))
    settings.setdefault("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    original = config.get("original_max_position_embeddings")
    if original is not None:
        settings["original_max_position_embeddings"] = original
    settings.setdefault("original_max_position_embeddings", config.get("max_position_embeddings"))
    return settings


@attrs.frozen(kw_only=True)
class Rope:
    """Frequencies of a rotary embedding.

    Attributes:
        theta: Base of the geometric series of wavelengths.
        factor: How many times further positions reach than in training; 1 is unscaled.
        low_wavelength: Llama 3 only: longer waves, in tokens, are stretched by ``factor``.
        high_wavelength: Llama 3 only: shorter waves, in tokens, stay as they are.
        original_length: Llama 3 only: context of the first training, in tokens; 0 stretches all waves alike.
    """

    theta: float
    factor: float = 1.0
    low_wavelength: float = 0.0
    high_wavelength: float = 0.0
    original_length: float = 0.0

    @classmethod
    def read(cls, config: Mapping[str, object]) -> Self:
        """Read the settings of a config.json whose type is one of ``ROPE_TYPES``.

        Raises:
            LoadError: A number is missing or impossible.
        """
        settings = rope_settings(config)
        theta = _positive(settings, "rope_theta")
        if settings["rope_type"] == "default":
            return cls(theta=theta)
        factor = _positive(settings, "factor")
        if settings["rope_type"] == "linear":
            return cls(theta=theta, factor=factor)
        original = _positive(settings, "original_max_position_embeddings")
        low = original / _positive(settings, "low_freq_factor")
        high = original / _positive(settings, "high_freq_factor")
        if low <= high:
            raise LoadError(
                f"rope low_freq_factor is {settings['low_freq_factor']!r}, expected less than "
                f"high_freq_factor, which is {settings['high_freq_factor']!r}",
                hint=REPAIR_HINT,
            )
        return cls(
            theta=theta, factor=factor, low_wavelength=low, high_wavelength=high, original_length=original
        )

    def frequencies(self, head_dim: int) -> torch.Tensor:
        """Radians per token of each pair of components: float32 [head_dim / 2].

        Llama 3's blend is that of ``llama3`` in transformers' modeling_rope_utils: waves between the two
        wavelengths go over from stretched to unchanged in proportion to their frequency.
        """
        exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
        plain = 1.0 / (self.theta**exponents)
        if not self.original_length:
            return plain / self.factor
        lowest, highest = (
            self.original_length / self.low_wavelength,
            self.original_length / self.high_wavelength,
        )
        waves_in_context = self.original_length * plain / (2 * math.pi)
        unchanged = ((waves_in_context - lowest) / (highest - lowest)).clamp(0.0, 1.0)
        return plain * (unchanged + (1.0 - unchanged) / self.factor)

    def rotations(self, head_dim: int, length: int) -> torch.Tensor:
        """The rotation of each pair at each position: complex64 [length, head_dim / 2]."""
        angles = torch.outer(torch.arange(length, dtype=torch.float32), self.frequencies(head_dim))
        return torch.polar(torch.ones_like(angles), angles)


def interleave_halves(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Reorder the rows of each head from halves (0 1 2 3 ...) to pairs (0, d/2, 1, d/2 + 1, ...).

    Published weights rotate component i with component i + d/2. Side by side, the two are one complex
    number, and a rotation is one multiplication; queries and keys reordered alike have the same products.

    Args:
        weight: [heads * head_dim, ...].
        head_dim: Components of a head.
    """
    halves = weight.view(-1, 2, head_dim // 2, *weight.shape[1:])
    return halves.transpose(1, 2).flatten(0, 2)


def rotate(states: torch.Tensor, rotations: torch.Tensor) -> None:
    """Rotate in place.

    Args:
        states: [tokens, heads, head_dim] with paired components.
        rotations: complex64 [tokens, 1, head_dim / 2].
    """
    pairs = states.view(*states.shape[:-1], -1, 2)
    if states.dtype == torch.float32:
        torch.view_as_complex(pairs).mul_(rotations)
    else:
        pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * rotations))


def _positive(settings: Mapping[str, object], key: str) -> float:
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise LoadError(f"rope {key} is {value!r}, expected a number above 0", hint=REPAIR_HINT)
    return float(value)

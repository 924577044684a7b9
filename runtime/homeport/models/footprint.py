"""How much memory a model will take once it is loaded."""

import attrs

from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.models import Capability, ModelInfo

_MIB = 1024**2
_DECODER_PROGRAM_BYTES = 96 * _MIB
"""A worker beside weights and cache: 92 MiB for each of 8 decoders of 135M and 1.1B weights."""
_ENCODER_PROGRAM_BYTES = 400 * _MIB
"""The same for an encoder, which computes in torch: 278 MiB when loaded, 394 while 32 texts are embedded."""
KV_NUMBER_BYTES = "homeport.kv_number_bytes"
"""Fact of models whose files say how wide a number of keys and values is."""
_WIDE_TYPES = frozenset({"fp32", "fp16"})
"""Weights whose models keep keys and values in four bytes a number; the others keep them in two."""


@attrs.frozen(kw_only=True)
class Footprint:
    """What a load takes at its peak.

    Attributes:
        fixed_bytes: Weights, program and workspace.
        window_bytes: Keys and values of one whole window; 0 where there are none or they are unknown.
        most_cache_bytes: Keys and values of all slots at whole windows; None where that is unknown.
        cache: What keys and values may take: a share of what is left beside the fixed part, or so many bytes.
    """

    fixed_bytes: int
    window_bytes: int
    most_cache_bytes: int | None
    cache: MemoryAmount

    @property
    def least_bytes(self) -> int:
        """What must be there: a share of the memory gives way down to one window, an amount does not."""
        return self.peak_bytes(0 if self.cache.share is not None else self.cache.size_bytes)

    def cache_bytes(self, room_bytes: int) -> int:
        """Say what keys and values may take where so many bytes are left for the model."""
        return self.cache.of(room_bytes - self.fixed_bytes)

    def peak_bytes(self, cache_bytes: int) -> int:
        """Predict the peak where keys and values may take so many bytes."""
        least = self.window_bytes if self.cache.share is not None else 0
        wanted = max(cache_bytes, least)
        return self.fixed_bytes + (
            wanted if self.most_cache_bytes is None else min(wanted, self.most_cache_bytes)
        )


def estimated_fixed_bytes(model: ModelInfo, program_bytes: int | None) -> int:
    """Estimate what a model takes beside keys and values: it is mapped, so its files count as they are.

    Of a model that has a build they are those of the build.

    Args:
        model: Which one.
        program_bytes: What the same backend took beside the files of its last model of this kind.
    """
    if program_bytes is None:
        is_decoder = Capability.COMPLETION in model.capabilities
        program_bytes = _DECODER_PROGRAM_BYTES if is_decoder else _ENCODER_PROGRAM_BYTES
    return loaded_bytes(model) + program_bytes


def loaded_bytes(model: ModelInfo) -> int:
    """Give the bytes of the files that a worker loads."""
    return model.size_bytes if model.build is None else model.build.size_bytes


def estimated_kv_bytes(model: ModelInfo) -> int | None:
    """Estimate the keys and values of one token: layers x 2 x heads x head length x bytes of a number.

    None where the model's facts do not tell; 0 for a model that generates nothing. A build tells its own.
    """
    if Capability.COMPLETION not in model.capabilities:
        return 0
    if model.build is not None and model.build.kv_bytes_per_token:
        return model.build.kv_bytes_per_token
    layers = _fact(model, "block_count")
    heads = _fact(model, "attention.head_count")
    key_heads = _fact(model, "attention.head_count_kv") or heads
    length = _fact(model, "attention.key_length") or (model.embedding_length // heads if heads else 0)
    told = model.facts.get(KV_NUMBER_BYTES)
    weights = model.weights if model.build is None else model.build.weights
    number_bytes = told if isinstance(told, int) else 4 if weights in _WIDE_TYPES else 2
    return layers * 2 * key_heads * length * number_bytes or None


def _fact(model: ModelInfo, name: str) -> int:
    value = model.facts.get(f"{model.family}.{name}")
    return value if isinstance(value, int) and value > 0 else 0

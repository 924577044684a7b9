"""Blocks of quantised GGUF weights, and the packed form that holds what they say.

Layouts follow ``ggml-common.h`` and ``ggml-quants.c`` of https://github.com/ggml-org/ggml.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from homeport.weights import DEFAULT_GROUP, PlainCodes, WeightKind

_HALF = np.dtype("<f2")
_HALF_BYTES = 2
_NIBBLE = np.uint8(0x0F)
_NIBBLE_BITS = np.uint8(4)
_SUPER_GROUPS = 8
"""Groups of 32 in a block of 256."""
_SIX_BITS = np.uint8(0x3F)
_TOP_BITS = np.uint8(6)
_CENTRE = 128


def _half(blocks: NDArray[np.uint8], place: int) -> NDArray[np.float16]:
    """Read one float16 of each block: [rows, blocks]."""
    first = place * _HALF_BYTES
    return np.ascontiguousarray(blocks[..., first : first + _HALF_BYTES]).view(_HALF)[..., 0]


def _nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Unpack codes, those in the low nibbles first: [..., n] to [..., 2 n]."""
    return np.concatenate([packed & _NIBBLE, packed >> _NIBBLE_BITS], axis=-1)


def _q4_0(blocks: NDArray[np.uint8]) -> PlainCodes:
    return _plain(_nibbles(blocks[..., _HALF_BYTES:]), _half(blocks, 0))


def _q4_1(blocks: NDArray[np.uint8]) -> PlainCodes:
    return _plain(_nibbles(blocks[..., 2 * _HALF_BYTES :]), _half(blocks, 0), _half(blocks, 1))


def _q8_0(blocks: NDArray[np.uint8]) -> PlainCodes:
    # A flipped sign bit adds 128 to a byte with a sign.
    return _plain(blocks[..., _HALF_BYTES:] ^ np.uint8(_CENTRE), _half(blocks, 0))


def _one_scale(kind: GGMLQuantizationType) -> Callable[[NDArray[np.uint8]], PlainCodes]:
    """Decode blocks whose weights are whole multiples of the float16 that begins the block."""

    def decode(blocks: NDArray[np.uint8]) -> PlainCodes:
        scales = _half(blocks, 0)
        wide = scales.astype(np.float32)[..., None]
        values = dequantize(blocks.reshape(len(blocks), -1), kind).reshape(*scales.shape, -1)
        codes = np.rint(np.divide(values, wide, out=np.zeros_like(values), where=wide != 0)) + _CENTRE
        return _plain(codes.astype(np.uint8), scales)

    return decode


def _q4_k(blocks: NDArray[np.uint8]) -> PlainCodes:
    """Decode blocks of 8 groups whose scales and minima are products of 6 bits and a float16.

    Products are rounded to float16: weights move by at most 0.4 % of the step between two of them.
    """
    scale_codes, min_codes = _six_bits(blocks[..., 2 * _HALF_BYTES : 16])
    halves = blocks[..., 16:].reshape(*blocks.shape[:2], _SUPER_GROUPS // 2, DEFAULT_GROUP)
    codes = np.stack([halves & _NIBBLE, halves >> _NIBBLE_BITS], axis=-2)
    scales = scale_codes * _half(blocks, 0).astype(np.float32)[..., None]
    mins = -(min_codes * _half(blocks, 1).astype(np.float32)[..., None])
    with np.errstate(over="ignore"):  # refused by whoever packs it
        return _plain(codes, scales.astype(np.float16), mins.astype(np.float16))


def _six_bits(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Unpack scales and minima of 8 groups from 12 bytes: two of [..., 8]."""
    first, second, third = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    high_scales, high_mins = first >> _TOP_BITS, second >> _TOP_BITS
    scales = [first & _SIX_BITS, (third & _NIBBLE) | (high_scales << _NIBBLE_BITS)]
    mins = [second & _SIX_BITS, (third >> _NIBBLE_BITS) | (high_mins << _NIBBLE_BITS)]
    return np.concatenate(scales, axis=-1), np.concatenate(mins, axis=-1)


def _plain(
    codes: NDArray[np.uint8], scales: NDArray[np.float16], mins: NDArray[np.float16] | None = None
) -> PlainCodes:
    """Put what was read block by block into rows."""
    rows = len(codes)
    return PlainCodes(
        codes.reshape(rows, -1), scales.reshape(rows, -1), None if mins is None else mins.reshape(rows, -1)
    )


@attrs.frozen(eq=False)
class Repacking:
    """How blocks become codes: the kind of these, and what reads uint8 [rows, blocks, bytes]."""

    kind: WeightKind
    decode: Callable[[NDArray[np.uint8]], PlainCodes]


REPACKINGS: Mapping[GGMLQuantizationType, Repacking] = MappingProxyType(
    {
        GGMLQuantizationType.Q4_0: Repacking(WeightKind.Q4, _q4_0),
        GGMLQuantizationType.Q4_1: Repacking(WeightKind.Q4_MIN, _q4_1),
        GGMLQuantizationType.Q4_K: Repacking(WeightKind.Q4_MIN, _q4_k),
        GGMLQuantizationType.Q8_0: Repacking(WeightKind.Q8, _q8_0),
        **{
            kind: Repacking(WeightKind.Q8, _one_scale(kind))
            for kind in (GGMLQuantizationType.Q5_0, GGMLQuantizationType.IQ4_NL)
        },
    }
)
"""All but Q4_K to the last bit. Other formats are quantised anew, to 8 bits, from what they stand for."""


def blocks_of(raw: NDArray[np.uint8], kind: GGMLQuantizationType) -> NDArray[np.uint8]:
    """Cut rows of bytes into blocks: [rows, blocks, bytes]."""
    return raw.reshape(len(raw), -1, GGML_QUANT_SIZES[kind][1])

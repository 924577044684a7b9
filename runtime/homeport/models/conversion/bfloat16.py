"""bfloat16 in numpy, which has no such type: its bits travel as uint16."""

import numpy as np
from numpy.typing import NDArray

_HALF_BITS = 16
_ROUNDING = np.uint32(0x7FFF)
_QUIET_NAN = np.uint16(0x7FC0)


def widen(bits: NDArray[np.generic]) -> NDArray[np.float32]:
    """Turn bfloat16 into float32, which holds it exactly."""
    return (bits.astype(np.uint32) << np.uint32(_HALF_BITS)).view(np.float32)


def narrow(values: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Round to bfloat16, to nearest, ties to even."""
    wide = np.ascontiguousarray(values, dtype=np.float32)
    bits = wide.view(np.uint32)
    odd = (bits >> np.uint32(_HALF_BITS)) & np.uint32(1)
    rounded = ((bits + _ROUNDING + odd) >> np.uint32(_HALF_BITS)).astype(np.uint16)
    return np.where(np.isnan(wide), _QUIET_NAN, rounded)

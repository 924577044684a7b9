import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from homeport.models.conversion.bfloat16 import narrow, widen

FLOATS = arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32, allow_nan=False))


@given(values=FLOATS)
def test_rounding_is_that_of_torch(values):
    """To nearest, ties to even, infinities and denormals included."""
    theirs = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(narrow(values), theirs)


@given(bits=arrays(np.uint16, st.integers(1, 50)))
def test_widening_keeps_every_bit(bits):
    """float32 holds all of bfloat16; what is no number stays none."""
    wide = widen(bits)
    assert np.array_equal(wide.view(np.uint32) >> 16, bits.astype(np.uint32))
    assert np.array_equal(np.isnan(widen(narrow(wide))), np.isnan(wide))

"""Packed layers multiply as torch does."""

import pytest
import torch
from torch.nn import functional

from homeport_transformers.linear import Linear


@pytest.mark.parametrize("rows", [1, 3, 33, 70])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [False, True])
def test_packed_layers_equal_plain_ones(rows, dtype, biased):
    """Several weights packed together give their products side by side, for any number of rows."""
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(outputs, 40, generator=generator).to(dtype) for outputs in (24, 7)]
    biases = [torch.randn(len(weight), generator=generator).to(dtype) for weight in weights] if biased else []
    inputs = torch.randn(rows, 40, generator=generator).to(dtype)

    actual = Linear(weights, biases)(inputs)

    bias = torch.cat(biases) if biased else None
    expected = functional.linear(inputs, torch.cat(weights), bias)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)

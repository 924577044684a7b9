"""The type of arithmetic follows setting, stored type and CPU."""

import pytest
import torch

from homeport_transformers.dtype import compute_dtype, multiplies_bf16

NATIVE = torch.bfloat16 if multiplies_bf16() else torch.float32


@pytest.mark.parametrize(
    ("choice", "stored", "expected"),
    [
        ("auto", "F32", torch.float32),
        ("auto", "F16", torch.float32),
        ("auto", "BF16", NATIVE),
        ("fp32", "BF16", torch.float32),
        ("bf16", "F32", torch.bfloat16),
    ],
)
def test_the_type_follows_setting_and_weights(choice, stored, expected):
    """A named type is taken as it is; auto keeps the digits that are stored."""
    assert compute_dtype(choice, stored) == expected

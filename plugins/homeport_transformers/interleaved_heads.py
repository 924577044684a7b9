"""Heads whose rotary components stand in pairs, so that a rotation is one complex product."""

import torch


def interleave_halves(weight: torch.Tensor, head_dim: int, rotary_dim: int) -> torch.Tensor:
    """Reorder the rows of each head that turn from halves (0 1 2 3 ...) to pairs (0, d/2, 1, d/2 + 1, ...).

    Published weights rotate component i with component i + d/2. Side by side, the two are one complex
    number, and a rotation is one multiplication; queries and keys reordered alike have the same products.

    Args:
        weight: [heads * head_dim, ...].
        head_dim: Components of a head.
        rotary_dim: How many of them turn: the first ones.
    """
    heads = weight.view(-1, head_dim, *weight.shape[1:])
    halves = heads[:, :rotary_dim].reshape(len(heads), 2, rotary_dim // 2, *weight.shape[1:])
    return torch.cat([halves.transpose(1, 2).flatten(1, 2), heads[:, rotary_dim:]], dim=1).flatten(0, 1)


def rotate(states: torch.Tensor, rotations: torch.Tensor) -> None:
    """Rotate the first components of each head in place.

    Args:
        states: [tokens, heads, head_dim] with paired components.
        rotations: complex64 [tokens, 1, rotary_dim / 2].
    """
    turning = states[..., : 2 * rotations.shape[-1]]
    pairs = turning.view(*turning.shape[:-1], -1, 2)
    if states.dtype == torch.float32:
        torch.view_as_complex(pairs).mul_(rotations)
    else:
        pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * rotations))

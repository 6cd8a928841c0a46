"""Rotary positions: queries and keys rotated by an angle that grows with their position. No weights here."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(values: Tensor, *, base: float = 10_000.0) -> Tensor:
    """``values [..., L, E]`` of one head, E even, each pair (i, i + E/2) rotated by ``position * base^(-2i/E)``.

    The product of a rotated query and a rotated key depends on their distance only (RoFormer, Su et al. 2021; the
    pairing of halves is that of GPT-NeoX and Llama).
    """
    length, width = values.shape[-2:]
    return turn(values, *rotary_table(length, width, base=base, device=values.device))


def rotary_table(length: int, width: int, *, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``[length, width / 2]`` float32 of the angles by which each position rotates each pair."""
    half = width // 2
    frequencies = base ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
    return angles.cos(), angles.sin()


def turn(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """``values [..., E]`` rotated by angles whose cosines and sines broadcast to ``[..., E/2]``."""
    cosine, sine = cosine.to(values.dtype), sine.to(values.dtype)
    first, second = values.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

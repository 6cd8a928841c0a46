"""Rotary positions: queries and keys turned by an angle that grows with their place. No weights, no attention here."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(values: Tensor, *, base: float = 10_000.0) -> Tensor:
    """``values [..., L, E]`` of one attention head, E even, each pair (i, i + E/2) turned by ``place * base^(-2i/E)``.

    The product of a turned query and a turned key depends on their distance only (RoFormer, Su et al. 2021; the
    pairing of halves is that of GPT-NeoX and Llama).
    """
    length, width = values.shape[-2:]
    half = width // 2
    frequencies = base ** (-torch.arange(half, device=values.device, dtype=torch.float32) / half)
    angles = torch.arange(length, device=values.device, dtype=torch.float32)[:, None] * frequencies
    cosine, sine = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    first, second = values[..., :half], values[..., half:]
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

"""Sinusoidal positions: a fixed vector for each place of a sequence of any length. Nothing here is learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal_positions(length: int, dim: int, *, device: torch.device | str = "cpu") -> Tensor:
    """``[length, dim]`` float32: ``sin(p / 10000^(2i/dim))`` at 2i and its cosine at 2i + 1.

    Source: Attention Is All You Need, Vaswani et al. 2017.
    """
    places = torch.arange(length, device=device, dtype=torch.float32)
    steps = torch.arange(0, dim, 2, device=device, dtype=torch.float32)
    angles = places[:, None] * torch.exp(steps * (-math.log(10_000.0) / dim))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]

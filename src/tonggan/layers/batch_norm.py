"""Batch normalization that padding and absent rows cannot pollute. Rows that are absent must be left out before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d (Ioffe & Szegedy 2015) over the real places of ``[B, C, L, W]``.

    A training batch of fewer than two rows has no statistics worth the name: the running ones are used and kept.
    """

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """``values [B, C, L, W]`` normalized; under a ``mask`` [B, L] only real steps count, the others are 0."""
        if mask is not None and not torch.compiler.is_exporting() and mask.all():
            mask = None
        if self.training and len(values) >= 2:
            return super().forward(values) if mask is None else self._normalize_real(values, mask)
        normalized = F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return normalized if mask is None else normalized.masked_fill(~mask[:, None, :, None], 0)

    def _normalize_real(self, values: Tensor, mask: Tensor) -> Tensor:
        batch_first = values.movedim(1, -1)  # [B, L, W, C]
        real = batch_first[mask]  # [steps, W, C]
        normalized = super().forward(real.movedim(-1, 1).unsqueeze(-1)).squeeze(-1).movedim(1, -1)
        output = normalized.new_zeros(batch_first.shape)
        output[mask] = normalized
        return output.movedim(-1, 1)

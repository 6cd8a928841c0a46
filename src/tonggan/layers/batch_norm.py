"""Batch normalization that padding and absent rows cannot pollute. Rows that are absent must be left out before it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_AXES = (0, 2, 3)


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
        real = mask[:, None, :, None].float()
        found: Tensor
        found, mean, variance = _NormalizeReal.apply(  # type: ignore[no-untyped-call]
            values, real, self.weight, self.bias, self.eps
        )
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        count = mask.sum() * values.shape[3]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        return found


class _NormalizeReal(torch.autograd.Function):
    """Normalized values, zero where they are not real, with the mean and the variance of the real ones.

    Written out, it takes half the time of picking the real ones from memory and putting them back.
    """

    @staticmethod
    def forward(
        context: Any, values: Tensor, real: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = real.sum() * values.shape[3]
        normalized = values.float() * real
        mean = normalized.sum(_AXES) / count
        normalized.addcmul_(real, -mean[:, None, None])
        variance = normalized.square().sum(_AXES) / count
        scale = (variance + epsilon).rsqrt()
        normalized.mul_(scale[:, None, None])
        context.save_for_backward(normalized, real, weight, scale, count)
        context.mark_non_differentiable(mean, variance)
        output = (normalized * weight.float()[:, None, None]).addcmul_(real, bias.float()[:, None, None])
        return output.to(values.dtype), mean, variance

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None]:
        normalized, real, weight, scale, count = context.saved_tensors
        inner = gradient.float() * real
        to_bias, to_weight = inner.sum(_AXES), (inner * normalized).sum(_AXES)
        inner.addcmul_(real, -(to_bias / count)[:, None, None])
        inner.addcmul_(normalized, -(to_weight / count)[:, None, None])
        inner.mul_((weight.float() * scale)[:, None, None])
        return inner.to(gradient.dtype), None, to_weight.to(weight.dtype), to_bias.to(weight.dtype), None

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
        # Laid out once as the places of a map are, it is multiplied several times as fast as broadcast along them.
        real = mask[:, None, :, None].float().expand(-1, 1, -1, values.shape[3]).contiguous()
        found: Tensor
        found, mean, variance = _NormalizeReal.apply(  # type: ignore[no-untyped-call]
            values, real, self.weight, self.bias, self.eps
        )
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        count = real.sum()
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        return found


class _NormalizeReal(torch.autograd.Function):
    """Normalized values, zero where they are not real, with the mean and the variance of the real ones.

    One buffer is computed in place all the way: new memory costs more than any of the steps, and plain sums less than
    the statistics of PyTorch's own batch norm.
    """

    @staticmethod
    def forward(
        context: Any, values: Tensor, real: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = real.sum()
        given, values = values.dtype, values.float()
        buffer = values * real
        mean = buffer.sum(_AXES) / count
        variance = buffer.sub_(mean[:, None, None]).mul_(real).square_().sum(_AXES) / count
        context.save_for_backward(values, real, weight, mean, variance, count)
        context.epsilon = epsilon
        context.mark_non_differentiable(mean, variance)
        scale = weight.float() * (variance + epsilon).rsqrt()
        torch.mul(values, scale[:, None, None], out=buffer)
        buffer.add_((bias.float() - mean * scale)[:, None, None]).mul_(real)
        return buffer.to(given), mean, variance

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None]:
        values, real, weight, mean, variance, count = context.saved_tensors
        inverse = (variance + context.epsilon).rsqrt()
        # As if the statistics were given; what they depend on follows.
        inner, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            gradient.float() * real,
            values,
            weight.float(),
            mean,
            variance,
            None,
            None,
            False,
            context.epsilon,
            [True] * 3,
        )
        scale = weight.float() * inverse / count
        slope = scale * inverse * to_weight
        inner.addcmul_(values, -slope[:, None, None]).add_((slope * mean - scale * to_bias)[:, None, None]).mul_(real)
        return inner.to(gradient.dtype), None, to_weight.to(weight.dtype), to_bias.to(weight.dtype), None

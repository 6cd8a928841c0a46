"""A first convolution that is computed of pictures, not learned: what it gives is uncorrelated and of one scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SIDE = 2  # of a patch
_LEAST_VARIANCE = 5e-3  # added to that of each direction: what hardly varies in pictures is mostly noise


class Whitening(nn.Module):
    """Each patch of 2x2 pixels in the directions in which patches of the training part vary, of variance 1 in each.

    Every direction stands there with both signs, so that nothing is lost in the activation that follows (Page 2019,
    "How to train your ResNet"; Jordan 2024, arXiv:2404.00498). The directions are random until ``adapt`` is called, and
    do not learn afterwards; the biases do.

    ``[B, channels, H, W]`` to ``[B, 8 * channels, H, W]``: a column to the right and a row below are padded with zeros.

    Args:
        channels: of a picture.
    """

    filters: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        count = channels * _SIDE**2
        basis = torch.linalg.qr(torch.randn(count, count)).Q.view(count, channels, _SIDE, _SIDE)
        self.register_buffer("filters", torch.cat([basis, -basis]))
        self.bias = nn.Parameter(torch.zeros(2 * count))

    @torch.no_grad()
    def adapt(self, pictures: Tensor) -> None:
        """Take the directions of ``pictures`` [N, channels, H, W], as they will be read; of none it stays as it is."""
        size = len(self.filters) // 2
        moment, count = pictures.new_zeros(size, size, dtype=torch.float64), 0
        for picture in pictures:  # one by one, for their patches take four times their memory
            patches = picture.double().unfold(1, _SIDE, 1).unfold(2, _SIDE, 1).permute(1, 2, 0, 3, 4).reshape(-1, size)
            moment += patches.T @ patches
            count += len(patches)
        if count:
            variances, directions = torch.linalg.eigh(moment / count)
            basis = (directions / (variances + _LEAST_VARIANCE).sqrt()).T.reshape(size, *self.filters.shape[1:])
            self.filters.copy_(torch.cat([basis, -basis]))

    def forward(self, values: Tensor) -> Tensor:
        """Every patch in these directions."""
        reach = _SIDE - 1
        padded = F.pad(values, (0, reach, 0, reach))
        return F.conv2d(padded, self.filters.to(values.dtype), self.bias.to(values.dtype))

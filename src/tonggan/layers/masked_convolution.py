"""A convolution over frames and bands to which padding is always zero."""

from __future__ import annotations

from torch import Tensor, nn

from tonggan.layers.activation import Activation, build_activation
from tonggan.layers.batch_norm import BatchNorm


class MaskedConvolution(nn.Module):
    """3x3 convolution, batch norm over real frames, activation: ``[B, C, F, W]`` and its mask ``[B, F]`` to the next.

    Frames and bands shrink to ``ceil(size / stride)``; a frame is real where the one at its middle was.
    """

    def __init__(self, before: int, after: int, *, stride: int, activation: Activation) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm = BatchNorm(after)
        self.activation = build_activation(activation)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's output, zero under the mask that is returned with it."""
        mask = mask[:, :: self.stride]
        return self.activation(self.norm(self.convolution(values), mask)), mask

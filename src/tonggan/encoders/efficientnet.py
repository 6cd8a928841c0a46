"""EfficientNet-Lite (Tan & Le 2019, without squeeze-and-excitation, with ReLU6): the network, and published weights.

It holds weights and knows no resizing and no pooling of rows. ``folded`` is the same function without normalization,
for inference alone.
"""

from __future__ import annotations

import math
import re
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tonggan.layers.batch_norm import BatchNorm
from tonggan.weights import find_weights

# The shape of Lite0, which others scale: repeats, kernel, stride, expansion, channels after.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS, _HEAD_CHANNELS, _NUM_CLASSES = 32, 1280, 1000
_EPSILON, _MOMENTUM = 1e-3, 0.01
_LARGEST = 6.0  # of ReLU6
# Published modules by the end of their names, and what they are called here.
_PUBLISHED = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.norm",
    "_conv_head": "head.convolution",
    "_bn1": "head.norm",
    "_fc": "classifier",
}
_PUBLISHED_BLOCK = {
    "_expand_conv": "expand.convolution",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.convolution",
    "_bn2": "project.norm",
}


@dataclass(frozen=True)
class EfficientNetShape:
    """How a network of the family is scaled.

    Attributes:
        width: factor of the channels.
        depth: factor of the repeats.
        side: pixels of a side of the pictures that it was trained on.
    """

    width: float
    depth: float
    side: int


SHAPES = {
    "efficientnet_lite0": EfficientNetShape(width=1.0, depth=1.0, side=224),
    "efficientnet_lite2": EfficientNetShape(width=1.1, depth=1.2, side=260),
}
"""By the names of the catalogue of weights."""


class EfficientNet(nn.Module):
    """Pictures ``[B, 3, H, W]`` from ``normalized`` to the last feature map ``[B, 1280, H / 32, W / 32]``, rounded up.

    Attributes:
        map_layers: which of ``layers`` gives the last feature map of each stride, and its channels; finest first.
        classifier: from the mean of the last feature map to logits of ImageNet's classes.
        dim: channels of the last feature map.
    """

    def __init__(self, shape: EfficientNetShape) -> None:
        super().__init__()
        self.stem: nn.Module = ConvolutionLayer(3, _STEM_CHANNELS, size=3, stride=2)
        blocks: list[nn.Module] = []
        before, total = _STEM_CHANNELS, 2
        self.map_layers: dict[int, tuple[int, int]] = {}
        for index, (repeats, size, stride, expansion, channels) in enumerate(_STAGES):
            after = _scaled_channels(channels, shape.width)
            is_end = index in (0, len(_STAGES) - 1)
            for repeat in range(repeats if is_end else math.ceil(repeats * shape.depth)):
                step = stride if repeat == 0 else 1
                blocks.append(InvertedResidual(before, after, size=size, stride=step, expansion=expansion))
                before, total = after, total * step
                self.map_layers[total] = (len(blocks), after)
        self.blocks = nn.ModuleList(blocks)
        self.head: nn.Module = ConvolutionLayer(before, _HEAD_CHANNELS, size=1)
        self.map_layers[total] = (len(blocks) + 1, _HEAD_CHANNELS)
        self.classifier: nn.Module = nn.Linear(_HEAD_CHANNELS, _NUM_CLASSES)
        self.dim = _HEAD_CHANNELS

    @property
    def layers(self) -> list[nn.Module]:
        """The stem, the blocks, the head: what is learned, from the pixels up."""
        return [self.stem, *self.blocks, self.head]

    def forward(self, values: Tensor) -> Tensor:
        """The last feature map."""
        for layer in self.layers:
            values = layer(values)
        return values

    def logits(self, values: Tensor) -> Tensor:
        """Of ImageNet's 1,000 classes, ``[B, 1000]``."""
        found: Tensor = self.classifier(self(values).mean(dim=(2, 3)))
        return found


class ConvolutionLayer(nn.Module):
    """A convolution, batch normalization, and with ``activate`` ReLU6; of ``groups`` its channels for a depthwise one.

    Padding is TensorFlow's: the side becomes ``ceil(side / stride)``, and of an odd number of zeros the larger half
    comes last.
    """

    def __init__(
        self, before: int, after: int, *, size: int, stride: int = 1, groups: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        padding = size // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(before, after, size, stride=stride, padding=padding, groups=groups, bias=False)
        self.norm = BatchNorm(after, eps=_EPSILON, momentum=_MOMENTUM)
        self.activate = activate
        self.size, self.stride = size, stride

    def forward(self, values: Tensor) -> Tensor:
        if self.stride > 1:
            values = F.pad(values, (*self._zeros(values.shape[3]), *self._zeros(values.shape[2])))
        values = self.norm(self.convolution(values))
        return F.hardtanh_(values, 0.0, _LARGEST) if self.activate else values

    def _zeros(self, side: int) -> tuple[int, int]:
        missing = max((math.ceil(side / self.stride) - 1) * self.stride + self.size - side, 0)
        return missing // 2, missing - missing // 2


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow again (Sandler et al. 2018); added to the input where shapes stay.

    ``[B, before, H, W]`` to ``[B, after, ceil(H / stride), ceil(W / stride)]``.
    """

    def __init__(self, before: int, after: int, *, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expand = ConvolutionLayer(before, inner, size=1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvolutionLayer(inner, inner, size=size, stride=stride, groups=inner)
        self.project = ConvolutionLayer(inner, after, size=1, activate=False)
        self.adds = before == after and stride == 1

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = self.project(self.depthwise(self.expand(values)))
        return found.add_(values) if self.adds else found


def normalized(pictures: Tensor, *, dtype: torch.dtype) -> Tensor:
    """uint8 as the published weights read it, from -1 to 1, channels last in memory."""
    return pictures.to(dtype, memory_format=torch.channels_last).sub_(127).mul_(1 / 128)


def folded(network: EfficientNet, *, but_last: int = 0) -> EfficientNet:
    """A copy for inference on square pictures: convolutions that do what normalization did with running statistics.

    Of ``layers``, ``but_last`` stay as they are and can learn.
    """
    copied = deepcopy(network).eval()
    count = len(copied.layers) - but_last
    if count > 0:
        copied.stem = _fold(copied.stem)
    for block in copied.blocks[: max(count - 1, 0)]:
        _fold(block)
    if but_last == 0:
        copied.head = _fold(copied.head)
    return copied


def _fold(part: nn.Module) -> nn.Module:
    if isinstance(part, ConvolutionLayer):
        return _FoldedLayer(part)
    for name, child in list(part.named_children()):
        setattr(part, name, _fold(child))
    return part


class _FoldedLayer(nn.Module):
    """A ``ConvolutionLayer`` with normalization in its weights, channels last in memory.

    Where zeros are missing at the end alone, the kernel gets a row and a column of zeros at its start instead, which is
    sooner computed than a padded copy of the values.
    """

    def __init__(self, layer: ConvolutionLayer) -> None:
        super().__init__()
        folded = fuse_conv_bn_eval(layer.convolution, layer.norm)
        self.activate, self.groups, self.stride = layer.activate, folded.groups, folded.stride
        self.padding = (layer.size // 2, layer.size // 2)
        self.bias = folded.bias
        self.weight = nn.Parameter(_channels_last(folded.weight), requires_grad=False)
        self.of_even: nn.Parameter | None = None
        if layer.stride > 1:
            self.of_even = nn.Parameter(_channels_last(F.pad(folded.weight, (1, 0, 1, 0))), requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        weight = self.weight if self.of_even is None or values.shape[-1] % 2 else self.of_even
        # For 1x1 kernels on one thread, conv2d takes another way, which is slower for channels last.
        if values.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            found = torch.mkldnn_convolution(values, weight, self.bias, self.padding, self.stride, (1, 1), self.groups)
        else:
            found = F.conv2d(values, weight, self.bias, self.stride, self.padding, (1, 1), self.groups)
        return F.hardtanh_(found, 0.0, _LARGEST) if self.activate else found


def _channels_last(weight: Tensor) -> Tensor:
    return weight.detach().contiguous(memory_format=torch.channels_last)


def load_efficientnet(name: str) -> EfficientNet:
    """The network with the weights that the catalogue calls ``name``.

    Raises:
        ConfigError: the catalogue has no such image weights.
        DataError: their file is another one than the published one.
        MissingExtraError: their package is not installed.
    """
    (file,) = find_weights(name, reads="image").files().values()
    published: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    network = EfficientNet(SHAPES[name])
    network.load_state_dict({_renamed(key): value for key, value in published.items()}, assign=True)
    return network.eval()


def _renamed(published: str) -> str:
    """What a published parameter is called here."""
    module, _, parameter = published.rpartition(".")
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module)
    if inside:
        return f"blocks.{inside[1]}.{_PUBLISHED_BLOCK[inside[2]]}.{parameter}"
    return f"{_PUBLISHED[module]}.{parameter}"


def _scaled_channels(channels: int, width: float) -> int:
    """A multiple of 8, at least 9/10 of what the factor says."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded

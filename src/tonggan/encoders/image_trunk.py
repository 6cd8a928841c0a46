"""Pretrained networks for pictures, as encoders and embedders read them: one vector, a grid of cells, feature maps.

They are told how many of their blocks learn, and may compute the others sooner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from tonggan.encoders.efficientnet import SHAPES, EfficientNet, folded, load_efficientnet, normalized
from tonggan.weights import find_weights

_FINEST = 4  # stride of the finest feature map; those before it hold few channels and most of the memory


class ImageFeatures(NamedTuple):
    """What a network makes of pictures."""

    vector: Tensor
    """``[N, dim]``: what the network would classify by."""
    cells: Tensor
    """``[N, L, dim]``, in reading order."""
    maps: list[Tensor]
    """``[N, C, H, W]``, finest first."""


class ImageTrunk(nn.Module, ABC):
    """Square pictures, uint8 ``[N, 3, S, S]``, to their features.

    Attributes:
        dim: width of vectors and cells.
        side: S in training, which is best.
        blocks: the parts that follow one another, the first one first.
        map_channels: of the feature maps, by their stride, finest first; empty of networks without.
    """

    dim: int
    side: int
    blocks: Sequence[nn.Module]
    map_channels: Mapping[int, int]

    @abstractmethod
    def forward(self, pictures: Tensor) -> ImageFeatures:
        """Features in the dtype of the weights."""

    @abstractmethod
    def num_cells(self, side: int) -> int:
        """L for pictures of ``side`` pixels."""


class EfficientNetTrunk(ImageTrunk):
    """EfficientNet-Lite: the mean of the last feature map, its cells, and the maps of stride 4 and more.

    Args:
        network: with its weights.
        side: of the pictures that it was trained on.
        num_learning: how many of the last blocks can learn; the others lose their normalization to their convolutions.
    """

    def __init__(self, network: EfficientNet, *, side: int, num_learning: int) -> None:
        super().__init__()
        self.network = folded(network, but_last=min(num_learning, len(network.layers)))
        self.network.classifier = nn.Identity()
        self.dim, self.side, self.blocks = network.dim, side, self.network.layers
        self._maps = {stride: each for stride, each in network.map_layers.items() if stride >= _FINEST}
        self.map_channels = {stride: channels for stride, (_, channels) in self._maps.items()}

    def forward(self, pictures: Tensor) -> ImageFeatures:
        values = normalized(pictures, dtype=next(self.parameters()).dtype)
        wanted = {layer for layer, _ in self._maps.values()}
        maps = []
        for index, layer in enumerate(self.network.layers):
            values = layer(values)
            if index in wanted:
                maps.append(values)
        return ImageFeatures(values.mean(dim=(2, 3)), values.flatten(2).transpose(1, 2), maps)

    def num_cells(self, side: int) -> int:
        return (-(-side // max(self._maps))) ** 2


def open_image_trunk(weights: str, *, num_learning: int = 0) -> ImageTrunk:
    """The network of ``weights``.

    Args:
        weights: a name of the catalogue.
        num_learning: how many of the last blocks can learn.

    Raises:
        ConfigError: the catalogue has no such image weights.
        DataError: their file is another one than the published one.
        MissingExtraError: their package is not installed.
    """
    find_weights(weights, reads="image")
    return EfficientNetTrunk(load_efficientnet(weights), side=SHAPES[weights].side, num_learning=num_learning)


def image_side(weights: str) -> int:
    """Pixels of a side of the pictures that ``weights`` were trained on; raises as ``open_image_trunk``."""
    find_weights(weights, reads="image")
    return SHAPES[weights].side


def image_sha256(weights: str) -> str:
    """Of the files of ``weights``; raises as ``open_image_trunk``."""
    entry = find_weights(weights, reads="image")
    entry.files()
    return " ".join(entry.sha256.values())

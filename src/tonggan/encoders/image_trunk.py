"""Pretrained networks for pictures, as encoders and embedders read them: one vector, a grid of cells, feature maps.

They are told how many of their blocks learn, and may compute the others sooner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.efficientnet import SHAPES, EfficientNet, folded, load_efficientnet, normalized
from tonggan.encoders.hugging_face import blocks_of, open_auto_model
from tonggan.stored import DOWNLOAD, Record, named, read_record
from tonggan.weights import CATALOGUE, find_weights
from tonggan.weights.folder import WeightsFolder

_OTHER_FOLDER = "Name the folder of an image model, such as ViT, DINOv2, CLIP or SigLIP"
_USUAL_SIDE = 224
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# By model_type, mean and standard deviation of pixels from 0 to 1; all others have ImageNet's.
_NORMALIZATION = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _HALF,
    "siglip_vision_model": _HALF,
    "vit": _HALF,
}


class ImageFeatures(NamedTuple):
    """What a network makes of pictures."""

    vector: Tensor
    """``[N, dim]``: the pooled vector that the network classifies by."""
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
    """EfficientNet-Lite: the mean of the last feature map, its cells, and a map of each stride from 2 to 32.

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
        self.map_channels = {stride: channels for stride, (_, channels) in network.map_layers.items()}

    def forward(self, pictures: Tensor) -> ImageFeatures:
        values = normalized(pictures, dtype=next(self.parameters()).dtype)
        wanted = {layer for layer, _ in self.network.map_layers.values()}
        maps = []
        for index, layer in enumerate(self.network.layers):
            values = layer(values)
            if index in wanted:
                maps.append(values)
        return ImageFeatures(values.mean(dim=(2, 3)), values.flatten(2).transpose(1, 2), maps)

    def num_cells(self, side: int) -> int:
        return (-(-side // max(self.map_channels))) ** 2


class HuggingFaceTrunk(ImageTrunk):
    """What transformers computes: the picture's part of a model in a folder. It has no feature maps.

    Vectors are what the model pools, else its first token where that stands for the picture, else the mean of all.

    Args:
        folder: with the weights.

    Raises:
        DataError: the weights are damaged, read no pictures, or can only be unpickled by running what they hold.
        MissingExtraError: transformers is not installed.
    """

    def __init__(self, folder: WeightsFolder) -> None:
        super().__init__()
        whole = open_auto_model(folder)
        self.network: nn.Module = getattr(whole, "vision_model", whole)  # of CLIP's kind, without the texts' part
        self.side = _folder_side(folder)
        self.blocks, self.map_channels = blocks_of(self.network), {}
        mean, deviation = _normalization(folder)
        self._mean, self._deviation = torch.tensor(mean, device="cpu"), torch.tensor(deviation, device="cpu")
        self._has_first = hasattr(getattr(self.network, "embeddings", None), "cls_token")
        with (
            named(f"folder {folder.path}", expected="a model that reads pictures", remedy=_OTHER_FOLDER),
            torch.device("cpu"),
            torch.no_grad(),
        ):
            found = self(torch.zeros((1, 3, self.side, self.side), dtype=torch.uint8))
        self.dim, self._num_cells = found.vector.shape[1], found.cells.shape[1]

    def forward(self, pictures: Tensor) -> ImageFeatures:
        if len(pictures) == 0:  # which attention cannot be computed of
            none = self(pictures.new_zeros(1, *pictures.shape[1:]))
            return ImageFeatures(none.vector[:0], none.cells[:0], [])
        values = pictures.to(next(self.parameters()).dtype) / 255
        if values.shape[-1] != self.side:
            values = F.interpolate(values, size=(self.side, self.side), mode="bilinear", antialias=True)
        mean, deviation = (each.to(values)[:, None, None] for each in (self._mean, self._deviation))
        found = self.network(pixel_values=(values - mean) / deviation)
        hidden: Tensor = found.last_hidden_state
        cells = hidden.flatten(2).transpose(1, 2) if hidden.dim() == 4 else hidden
        pooled: Tensor | None = getattr(found, "pooler_output", None)
        if pooled is not None:
            return ImageFeatures(pooled.flatten(1), cells, [])
        return ImageFeatures(cells[:, 0] if self._has_first else cells.mean(dim=1), cells, [])

    def num_cells(self, side: int) -> int:
        del side  # whatever it is, the pictures are brought to the one of the weights
        return int(self._num_cells)


class _Processor(Record):
    """What of ``preprocessor_config.json`` is read."""

    image_mean: list[float] | None = Field(default=None, min_length=3, max_length=3)
    image_std: list[float] | None = Field(default=None, min_length=3, max_length=3)
    size: dict[str, int] | int | None = None
    crop_size: dict[str, int] | int | None = None


def open_image_trunk(weights: str, *, num_learning: int = 0) -> ImageTrunk:
    """The network of ``weights``.

    Args:
        weights: a name of the catalogue, or a folder in Hugging Face's layout.
        num_learning: how many of the last blocks can learn.

    Raises:
        ConfigError: there are no such weights.
        DataError: their files are missing, damaged or exchanged, or can only be unpickled by running what they hold.
        MissingExtraError: a package is not installed.
    """
    if weights in CATALOGUE:
        network = load_efficientnet(weights)
        return EfficientNetTrunk(network, side=SHAPES[weights].side, num_learning=num_learning)
    return HuggingFaceTrunk(_folder(weights))


def image_side(weights: str) -> int:
    """Pixels of a side of the pictures that ``weights`` were trained on; raises as ``open_image_trunk``."""
    if weights in CATALOGUE:
        find_weights(weights, reads="image")
        return SHAPES[weights].side
    return _folder_side(_folder(weights))


def image_sha256(weights: str) -> str:
    """Of the files of ``weights``; raises as ``open_image_trunk``."""
    if weights in CATALOGUE:
        entry = find_weights(weights, reads="image")
        entry.folders()
        return " ".join(entry.sha256.values())
    return _folder(weights).sha256


def _folder(weights: str) -> WeightsFolder:
    return WeightsFolder(Path(weights).expanduser(), names=tuple(SHAPES))


def _processor(folder: WeightsFolder) -> _Processor:
    return read_record(_Processor, folder.path / "preprocessor_config.json", remedy=DOWNLOAD, is_optional=True)


def _folder_side(folder: WeightsFolder) -> int:
    processor = _processor(folder)
    told = folder.config.get("vision_config", folder.config).get("image_size")
    for size in (told, processor.crop_size, processor.size):
        side = next(iter(size.values()), None) if isinstance(size, dict) else size
        side = side[0] if isinstance(side, list) and side else side
        if isinstance(side, int) and side > 0:
            return side
    return _USUAL_SIDE


def _normalization(folder: WeightsFolder) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of pixels from 0 to 1: those that the folder names, else those of its kind."""
    processor = _processor(folder)
    usual = _NORMALIZATION.get(str(folder.config.get("model_type")), _IMAGENET)
    return processor.image_mean or usual[0], processor.image_std or usual[1]

"""The regions head: the class of each pixel, from the coarse feature maps up to the fine ones.

What is far off and what is near come together along a pyramid (Lin et al. 2017, as Kirillov et al. 2019 use it); the
last step to single pixels is an interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.decoders.answers import TARGET, UNLABELED, Answer, Regions
from tonggan.decoders.base import Context, Head, HeadConfig
from tonggan.decoders.feature_maps import FeatureMaps
from tonggan.layers.activation import Activation
from tonggan.layers.feature_pyramid import convolution_block
from tonggan.layers.precision import in_float32
from tonggan.tokens import Arrays, Prediction


class RegionsHeadConfig(HeadConfig):
    """A class for each pixel from the feature maps of a picture."""

    gives: ClassVar[type[Answer]] = Regions
    is_default: ClassVar[bool] = True
    kind: Literal["regions"] = "regions"
    finest: Literal[1, 2, 4, 8] = 2
    """Stride of the finest feature map that is read, in pixels of the picture, at least."""
    width: int = Field(default=32, ge=1)
    """Channels of the maps."""
    depth: int = Field(default=1, ge=0)
    """Convolutions of the finest map before the classes."""
    activation: Activation = "relu"
    """After each convolution."""
    dice: float = Field(default=1.0, ge=0)
    """Weight of the Dice loss beside the cross-entropy; it counts small regions as much as large ones."""

    def build(self, dim: int, *, answer: Regions, encoders: Mapping[str, nn.Module]) -> RegionsHead:
        return RegionsHead(self, dim, answer=answer, encoders=encoders)


class RegionsHead(Head):
    """Feature maps of a picture to ``regions`` int64 ``[B, S, S]``, class numbers; all 0 without the picture."""

    def __init__(
        self, config: RegionsHeadConfig, dim: int, *, answer: Regions, encoders: Mapping[str, nn.Module]
    ) -> None:
        super().__init__()
        self.config, self.answer = config, answer
        width, activation = config.width, config.activation
        self.maps = FeatureMaps(
            encoders, answer.picture, dim=dim, width=width, finest=config.finest, activation=activation
        )
        blocks = [convolution_block(width, width, activation) for _ in range(config.depth)]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(width, len(answer.labels), 1))

    def forward(self, context: Context, targets: Mapping[str, Arrays] | None = None) -> Prediction:
        rows, logits = self._read(context)
        found = torch.zeros(len(context.tokens), *logits.shape[-2:], dtype=torch.int64, device=logits.device)
        outputs: dict[str, Any] = {"extent": self.maps.extent(context)}
        outputs["regions"] = found.index_copy(0, rows, logits.argmax(dim=1))
        if targets:
            losses = self._row_losses(rows, logits, targets[TARGET].expand())
            outputs["loss"] = torch.stack(list(losses.values())).sum(dim=0)
        return Prediction(outputs)

    def losses(self, context: Context, targets: Mapping[str, Arrays]) -> dict[str, Tensor]:
        """``pixels``, the cross entropy, and ``dice``, both means over the rows that have a mask."""
        losses = self._row_losses(*self._read(context), targets[TARGET].expand())
        return {name: rows.sum() / max(1.0, self.weight(targets)) for name, rows in losses.items()}

    def weight(self, targets: Mapping[str, Arrays]) -> float:
        return float(targets[TARGET].expand().present.sum())

    def _read(self, context: Context) -> tuple[Tensor, Tensor]:
        """The rows that have a picture, int64 [n], and their logits ``[n, C, S, S]``."""
        rows, maps = self.maps(context)
        logits = self.layers(maps[0]).float()
        return rows, F.interpolate(logits, size=self.maps.size(context), mode="bilinear", align_corners=False)

    def _row_losses(self, rows: Tensor, logits: Tensor, target: Arrays) -> dict[str, Tensor]:
        """Of each row ``[B]``; 0 where picture or mask is missing, and where no pixel has a class."""
        with in_float32(logits.device):
            wanted = target.values[rows].long()
            known = (wanted != UNLABELED) & target.present[rows, None, None]
            pixels = F.cross_entropy(
                logits, wanted.masked_fill(~known, UNLABELED), ignore_index=UNLABELED, reduction="none"
            )
            parts = {"pixels": pixels.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)}
            if self.config.dice:
                parts["dice"] = self.config.dice * dice_loss(logits.softmax(dim=1), wanted, known)
            nothing = logits.new_zeros(len(target))
            return {name: nothing.index_copy(0, rows, part) for name, part in parts.items()}


def dice_loss(shares: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """[B]: 1 less the soft Dice of a picture, mean over the classes that it shows (Milletari et al. 2016).

    Args:
        shares: ``[B, C, H, W]``, how much each pixel is of each class.
        wanted: int64 ``[B, H, W]``, the true classes.
        known: bool ``[B, H, W]``, the pixels that count.
    """
    true = F.one_hot(wanted.masked_fill(~known, 0), shares.shape[1]).movedim(-1, 1) * known[:, None]
    common = (shares * true).sum(dim=(2, 3))
    area = true.sum(dim=(2, 3))
    total = (shares * known[:, None]).sum(dim=(2, 3)) + area
    shown = area > 0
    dice = torch.where(shown, 2 * common / total.clamp(min=1e-6), 0)
    return (1 - dice.sum(dim=1) / shown.sum(dim=1).clamp(min=1)) * shown.any(dim=1)

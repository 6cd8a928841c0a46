"""Small pictures of bright squares with what heads over feature maps read of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tonggan.decoders import TARGET, Context
from tonggan.encoders.image_resnet import ImageResNetConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays, Tokens

SIZE = 48
DIM = 8


class Words(nn.Module):
    """An encoder of arrays that are Tokens already."""

    def forward(self, arrays: Arrays) -> Tokens:
        return Tokens(arrays.values, arrays.mask)


def make_encoders(*, words: bool = False, size: int = SIZE, dim: int = DIM) -> dict[str, nn.Module]:
    """Of ``photo``, with feature maps of strides 2, 4, 8 and 16, and if wanted of ``words``."""
    config = ImageResNetConfig(
        stem_channels=8,
        stem_stride=2,
        channels=(8, 12, 16),
        blocks=(1, 1, 1),
        strides=(2, 2, 2),
        downsample="stride",
        pool="mean",
    )
    encoders: dict[str, nn.Module] = {"photo": config.build(Image(ImageConfig(size=size)), dim=dim)}
    return encoders | ({"words": Words()} if words else {})


def make_context(encoders: Mapping[str, nn.Module], inputs: Mapping[str, Arrays]) -> Context:
    """As a model makes it, with the inputs' Tokens side by side as the fused ones."""
    encoded = {name: encoder(inputs[name]) for name, encoder in encoders.items()}
    encoded = {
        name: each if inputs[name].index is None else each.take(inputs[name].index) for name, each in encoded.items()
    }
    return Context(Tokens.concat(list(encoded.values())), encoded, inputs)


def squares(count: int, *, seed: int = 0, size: int = SIZE) -> tuple[Arrays, Arrays, Arrays]:
    """Pictures with one or two squares each, red (class 0) or green (1): the pictures, their boxes and their masks.

    In the masks the background is class 0, red 1 and green 2.
    """
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 60, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    boxes, mask = torch.zeros(count, 2, 6), torch.zeros(count, 2, dtype=torch.bool)
    regions = torch.zeros(count, size, size, dtype=torch.uint8)
    for row in range(count):
        for place in range(1 + row % 2):
            side = int(torch.randint(size // 5, size // 3, (), generator=generator))
            # The second one lies below the first.
            top = (size // 2) * place + int(torch.randint(size // 2 - side, (), generator=generator))
            left = int(torch.randint(size - side, (), generator=generator))
            label = int(torch.randint(2, (), generator=generator))
            pictures[row, label, top : top + side, left : left + side] = 230
            regions[row, top : top + side, left : left + side] = label + 1
            boxes[row, place] = torch.tensor([left, top, left + side, top + side, label, 0], dtype=torch.float32)
            mask[row, place] = True
    there = torch.ones(count, dtype=torch.bool)
    return Arrays(pictures, there), Arrays(boxes, mask), Arrays(regions, there)


def train_on(module: nn.Module, losses: object, *, steps: int, learning_rate: float = 5e-3) -> list[float]:
    """The sum of the losses at each of some steps on one batch."""
    assert callable(losses)
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        total: Tensor = sum(losses().values())
        total.backward()
        optimizer.step()
        found.append(float(total.detach()))
    return found


def targets_of(arrays: Arrays) -> dict[str, Arrays]:
    return {TARGET: arrays}

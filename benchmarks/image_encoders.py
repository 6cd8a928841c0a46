"""Each picture encoder beside the same network written plainly in PyTorch, or beside OpenCV: training and inference.

    python benchmarks/image_encoders.py                     # all, 32x32 pictures, batches of 64, one thread
    python benchmarks/image_encoders.py --size 96 --json    # larger pictures, one JSON object
    python benchmarks/image_encoders.py vit inception       # these

Both get the same bytes, give one vector for each picture, and have the same number of parameters. A training step is
forward, backward and AdamW. Seconds are those of the processor (its time, not the clock's, so that other programs count
less), the least of several rounds in which the two take turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tonggan.encoders import EncoderConfig, ImageCNNConfig, ImageResNetConfig
from tonggan.encoders.image_inception import ImageInceptionConfig
from tonggan.encoders.image_vit import ImageViTConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.modalities.keypoints import KeypointsConfig
from tonggan.tokens import Arrays

DIM = 128


class Ours(nn.Module):
    """An encoder, and the mean of its tokens."""

    def __init__(self, config: EncoderConfig, size: int) -> None:
        super().__init__()
        self.encoder = config.build(Image(ImageConfig(size=size)), dim=DIM)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.encoder(Arrays.whole(pictures)).mean()


class Plain(nn.Module):
    """What all that were written by hand do: bytes to numbers, a trunk, the mean over places, a linear map."""

    def __init__(self, trunk: nn.Module, channels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Linear(channels, DIM)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.projection(self.trunk(pictures.float() / 64 - 2).mean(dim=(2, 3)))


def convolution(before: int, after: int, size: Any = 3, stride: int = 1) -> nn.Sequential:
    padding = tuple(side // 2 for side in size) if isinstance(size, tuple) else size // 2
    layer = nn.Conv2d(before, after, size, stride=stride, padding=padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


class Residual(nn.Module):
    """A residual block that keeps its shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, values: Tensor) -> Tensor:
        return F.relu(values + self.norm(self.second(self.first(values))))


class Mixed(nn.Module):
    """Four branches, as Szegedy et al. draw them."""

    def __init__(self, before: int, after: int, reach: int) -> None:
        super().__init__()
        width = after // 4
        self.single = convolution(before, width, 1)
        self.near = nn.Sequential(convolution(before, width, 1), convolution(width, width))
        thin = convolution(width, width, (1, reach)), convolution(width, width, (reach, 1))
        self.far = nn.Sequential(convolution(before, width, 1), *thin)
        mean = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.pooled = nn.Sequential(mean, convolution(before, width, 1))

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([self.single(values), self.near(values), self.far(values), self.pooled(values)], dim=1)


class Reduction(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.strided = convolution(before, after // 2, stride=2)
        self.pooled = nn.Sequential(nn.MaxPool2d(2), convolution(before, after // 2, 1))

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([self.strided(values), self.pooled(values)], dim=1)


class PlainViT(nn.Module):
    """A convolutional tokenizer, and PyTorch's own transformer."""

    def __init__(self, config: ImageViTConfig, size: int) -> None:
        super().__init__()
        count = 2 if size <= 48 else 3 if size <= 96 else 4
        widths = [3, *[config.stem_channels] * (count - 1), DIM]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        self.tokenizer = nn.Sequential(*layers)
        self.positions = nn.Parameter(torch.randn((size // 2**count) ** 2, DIM) * 0.02)
        block = nn.TransformerEncoderLayer(
            DIM,
            config.num_heads,
            dim_feedforward=round(DIM * config.mlp_ratio),
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(
            block, config.num_layers, norm=nn.LayerNorm(DIM), enable_nested_tensor=False
        )

    def forward(self, pictures: Tensor) -> Tensor:
        cells = self.tokenizer(pictures.float() / 64 - 2).flatten(2).transpose(1, 2)
        return self.transformer(F.dropout(cells + self.positions, 0.1, self.training)).mean(dim=1)


def plain_cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [convolution(before, after), convolution(after, after), nn.MaxPool2d(2)]
    return Plain(nn.Sequential(*layers), 128)


def plain_resnet(stride: int) -> nn.Module:
    layers: list[nn.Module] = [convolution(3, 32, stride=stride)]
    for before, after in ((32, 64), (64, 128), (128, 256)):
        opening = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers += [opening, nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.ReLU(), Residual(after)]
    return Plain(nn.Sequential(*layers), 256)


def plain_inception(strides: int) -> nn.Module:
    stem = [convolution(3 if place == 0 else 32, 32, stride=2) for place in range(strides)] or [convolution(3, 32)]
    stages = [Mixed(32, 96, 3), Mixed(96, 96, 3), Reduction(96, 192), Mixed(192, 192, 5), Reduction(192, 320)]
    return Plain(nn.Sequential(*stem, *stages, Mixed(320, 320, 3)), 320)


def networks(size: int) -> dict[str, tuple[nn.Module, nn.Module]]:
    """By name, the encoder and its plain double."""
    vit = ImageViTConfig(pool="mean")
    strides = 0 if size <= 48 else 1 if size <= 96 else 2
    return {
        "cnn": (Ours(ImageCNNConfig(pool="mean"), size), plain_cnn()),
        "resnet": (Ours(ImageResNetConfig(pool="mean"), size), plain_resnet(1 if size <= 48 else 2)),
        "inception": (Ours(ImageInceptionConfig(pool="mean"), size), plain_inception(strides)),
        "vit": (Ours(vit, size), PlainViT(vit, size)),
    }


def least(works: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """By name, the least seconds of the processor that it took; the two take turns, and each begins once unmeasured."""
    found = dict.fromkeys(works, float("inf"))
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if turn:
                found[name] = min(found[name], time.process_time() - start)
    return found


def training_step(model: nn.Module, pictures: Any) -> Callable[[], None]:
    """Forward, backward and a step of AdamW on what the model reads."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        model(pictures).square().mean().backward()
        optimizer.step()

    return step


def inference(model: nn.Module, pictures: Tensor) -> Callable[[], None]:
    @torch.inference_mode()
    def answer() -> None:
        model.eval()(pictures)

    return answer


def measured(name: str, pair: tuple[nn.Module, nn.Module], pictures: Tensor, *, rounds: int) -> dict[str, Any]:
    """Pictures a second of both, and how often as fast the encoder is."""
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in pair]
    row: dict[str, Any] = {"encoder": name, "parameters": counts[0], "plain_parameters": counts[1]}
    for way, make in (("training", training_step), ("inference", inference)):
        works = {who: make(model, pictures) for who, model in zip(("tonggan", "plain"), pair, strict=True)}
        seconds = least(works, rounds=rounds)
        row |= {f"{way}_{who}": len(pictures) / each for who, each in seconds.items()}
        row[f"{way}_ratio"] = seconds["plain"] / seconds["tonggan"]
    return row


def measured_sift(size: int, *, count: int, rounds: int) -> dict[str, Any]:
    """Pictures a second from their files to keypoints, beside OpenCV alone; both do it once, no epoch does it again."""
    random = np.random.default_rng(0)
    greys = [random.integers(0, 256, (size // 4, size // 4), dtype=np.uint8) for _ in range(count)]
    files = [cv2.imencode(".png", cv2.resize(grey, (size, size)))[1].tobytes() for grey in greys]
    keypoints = KeypointsConfig(contrast=0.04).build()
    finder = cv2.SIFT.create(nfeatures=128)
    enlarged = 3 if size < 96 else 1

    def alone() -> None:
        for file in files:
            grey = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
            if enlarged > 1:
                grey = cv2.resize(grey, None, fx=enlarged, fy=enlarged)
            finder.detectAndCompute(grey, None)

    seconds = least(
        {"tonggan": lambda: [keypoints.decode(file) for file in files], "plain": alone}, rounds=max(2, rounds // 2)
    )
    row: dict[str, Any] = {"encoder": "sift", "parameters": None, "plain_parameters": None}
    row |= {f"inference_{who}": count / each for who, each in seconds.items()}
    return row | {"inference_ratio": seconds["plain"] / seconds["tonggan"]}


def main() -> None:
    """Print the table."""
    names = ["cnn", "resnet", "inception", "vit", "sift"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", metavar="NAME", help=f"some of {', '.join(names)}; all by default")
    parser.add_argument("--size", type=int, default=32, help="pixels of a side (32)")
    parser.add_argument("--batch", type=int, default=64, help="pictures of a batch (64)")
    parser.add_argument("--rounds", type=int, default=8, help="of which the least counts (8)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    unknown = set(options.encoders) - set(names)
    if unknown:
        parser.error(f"unknown encoder {', '.join(sorted(unknown))}; expected some of {', '.join(names)}")
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (options.batch, 3, options.size, options.size), dtype=torch.uint8)
    pairs = networks(options.size)
    rows = []
    for name in options.encoders or names:
        if name == "sift":
            rows.append(measured_sift(options.size, count=options.batch, rounds=options.rounds))
        else:
            rows.append(measured(name, pairs[name], pictures, rounds=options.rounds))
    if options.json:
        print(json.dumps({"size": options.size, "batch": options.batch, "rows": rows}))
        return
    print("| encoder | parameters | training, pictures/s | plain | ratio | inference, pictures/s | plain | ratio |")
    print("| --- " * 8 + "|")
    for row in rows:
        cells = [f"{row['parameters']:,}" if row["parameters"] else "–"]
        for way in ("training", "inference"):
            found = [row.get(f"{way}_{who}") for who in ("tonggan", "plain")]
            ratio = row.get(f"{way}_ratio")
            cells += ["–" if each is None else f"{each:,.0f}" for each in found]
            cells.append("–" if ratio is None else f"{ratio:.2f}")
        print(f"| {row['encoder']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

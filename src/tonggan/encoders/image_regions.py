"""What a finished run finds in a picture, as Tokens: a trunk's features in the boxes of its own detection head."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from tonggan.config import read_yaml
from tonggan.data.fetch import sha256_of
from tonggan.decoders import Context, HeadConfig
from tonggan.decoders.answers import Boxes
from tonggan.decoders.dense import DenseHeadConfig
from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.present import encode_present
from tonggan.errors import ConfigError
from tonggan.layers.boxes import box_areas, roi_align
from tonggan.modalities.base import InputConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.stored import Record, named, read_record
from tonggan.tokens import Arrays, Tokens

_INDEX, _RECIPE, _WEIGHTS = "bundle.json", "recipe.yaml", "weights.safetensors"
_NAMED = "the folder of a finished run of the task detect that looks at pictures alone"
_FIT = "Fit one, e.g. tonggan fit boxes.jsonl --target boxes --task detect --out runs/boxes, and name it as 'run'"
_GEOMETRY = 8  # of a box: corners, width, height, the logarithm of its area, its score


class ImageRegionsConfig(EncoderConfig):
    """Proposals of a detector, each with what its feature maps hold there (Anderson et al. 2018, bottom-up attention).

    The detector stays as it is. Its run's folder must be there where this one is used.
    """

    reads: ClassVar[str] = "image"
    free: ClassVar[tuple[str, ...]] = ("limit", "min_score")
    kind: Literal["image_regions"] = "image_regions"
    run: str
    """Folder of a finished run of the task detect."""
    limit: int = Field(default=16, ge=0)
    """Maximum number of proposals; the whole picture is one more region."""
    min_score: float = Field(default=0.05, ge=0, lt=1)
    """Proposals with a lower score are discarded."""
    side: int = Field(default=2, ge=1, le=14)
    """Cells of a region along each side."""

    @cached_property
    def _detector(self) -> _Run:
        return _read_run(Path(self.run).expanduser())

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The pictures as the detector sees them.

        Raises:
            ConfigError: there is no such run, or the column has another size.
            DataError: its files are damaged.
        """
        column, declared = self._detector.column, modality.model_fields_set
        for name in ("size", "resize"):
            if name in declared and getattr(modality, name) != getattr(column, name):
                raise ConfigError(
                    "encoder image_regions",
                    got=f"a column with {name} {getattr(modality, name)}",
                    expected=f"{getattr(column, name)}, as in {self.run}",
                    remedy=f"Leave {name} of the column out, or set it so",
                )
        return modality.model_copy(update={"size": column.size, "resize": column.resize})

    @property
    def base(self) -> Mapping[str, str]:
        return {"name": self.run, "sha256": self._detector.sha256}

    def build(self, modality: Image, *, dim: int) -> nn.Module:
        """An encoder of that modality's pictures.

        Raises:
            ConfigError: there is no such run, or it is of another task.
            DataError: its files are damaged.
        """
        return ImageRegions(self, self._detector, size=modality.config.size, dim=dim)


class _Task(Record):
    labels: list[Any] = Field(min_length=1)


class _TaskEntry(Record):
    state: _Task


class _Index(Record):
    """What of ``bundle.json`` is read."""

    task: _TaskEntry
    files: dict[str, str]


class _Run(NamedTuple):
    """What of a run of the task detect is read."""

    column: ImageConfig
    encoder: EncoderConfig
    head: DenseHeadConfig
    dim: int
    answer: Boxes
    weights: dict[str, Tensor]
    sha256: str


def _read_run(folder: Path) -> _Run:
    """That of ``folder``.

    Raises:
        ConfigError: there is none, or it answers something else.
        DataError: its files are damaged.
    """
    if not (folder / _INDEX).is_file():
        got = f"'{folder}', an unfinished run" if (folder / _RECIPE).is_file() else f"'{folder}', where there is none"
        raise ConfigError("encoder image_regions", got=got, expected=_NAMED, remedy=_FIT)
    index = read_record(_Index, folder / _INDEX, remedy="Fit the run again")
    recipe = read_yaml(folder / _RECIPE)
    with named(f"run {folder}", expected=_NAMED, remedy="Fit it again, or name another run"):
        kind, encoders = recipe["task"]["kind"], recipe["model"]["encoders"]
        head = HeadConfig.parse(recipe["model"]["head"], who=_RECIPE)
        if not isinstance(head, DenseHeadConfig) or len(encoders) != 1:
            got = f"'{folder}', a run of the task {kind} that reads {', '.join(encoders)}"
            raise ConfigError("encoder image_regions", got=got, expected=_NAMED, remedy=_FIT)
        picture = recipe["task"]["picture"]
        sha256 = sha256_of(folder / _WEIGHTS)
        if sha256 != index.files[_WEIGHTS]:
            raise ValueError(f"{_WEIGHTS} has SHA-256 {sha256[:16]}…, and was written with another")
        return _Run(
            column=ImageConfig.model_validate(recipe["columns"][picture]),
            encoder=EncoderConfig.parse(encoders[picture], who=_RECIPE),
            head=head,
            dim=recipe["model"]["dim"],
            answer=Boxes(tuple(map(str, index.task.state.labels)), picture),
            weights=load_file(folder / _WEIGHTS),
            sha256=sha256,
        )


class Detector(nn.Module):
    """The network of a finished run: pictures to boxes, and the feature maps that they were found in."""

    def __init__(self, run: _Run, *, limit: int) -> None:
        super().__init__()
        self.picture = run.answer.picture
        self.encoder = run.encoder.build(Image(run.column), dim=run.dim)
        head = run.head.model_copy(update={"limit": max(1, limit)})
        self.head = head.build(run.dim, answer=run.answer, encoders={self.picture: self.encoder})
        for part, prefix in ((self.encoder, "encoders.0."), (self.head, "head.")):
            state = {name.removeprefix(prefix): each for name, each in run.weights.items() if name.startswith(prefix)}
            part.load_state_dict(state, strict=False)
        self.requires_grad_(False).eval()

    @property
    def map_channels(self) -> dict[int, int]:
        """Of the feature maps that the head reads, by their stride."""
        channels: Mapping[int, int] = self.encoder.map_channels  # type: ignore[assignment]
        return {stride: channels[stride] for stride in self.head.maps.strides}

    @torch.no_grad()
    def forward(self, pictures: Arrays) -> tuple[list[Tensor], list[Tensor]]:
        """For each picture its boxes ``[K, 6]``, the surest first, and the feature maps ``[B, C, H, W]``."""
        tokens = self.encoder(pictures)
        boxes: list[Tensor] = self.head(Context(tokens, {self.picture: tokens}, {self.picture: pictures}))["boxes"]
        return boxes, list(tokens.maps[-len(self.head.maps.strides) :])


class ImageRegions(nn.Module):
    """Pictures ``uint8 [B, 3, S, S]`` to Tokens ``[B, 1 + K, dim]``: the whole picture, and the proposals in it.

    A token is what the feature maps hold in the box, where the box lies, how sure the detector is, and of what.
    """

    undecayed = ("picture",)
    ends = ("second",)

    def __init__(self, config: ImageRegionsConfig, run: _Run, *, size: int, dim: int) -> None:
        super().__init__()
        self.config, self.size = config, size
        with torch.device("cpu"):
            self.detector = Detector(run, limit=config.limit)
        channels = sum(self.detector.map_channels.values())
        self.norm = nn.LayerNorm(channels * config.side**2)
        self.pooled = nn.Linear(channels * config.side**2, dim)
        self.geometry = nn.Linear(_GEOMETRY, dim)
        self.labels = nn.Embedding(len(run.answer.labels), dim)
        self.picture = nn.Parameter(torch.randn(dim) * 0.02)
        nn.init.normal_(self.labels.weight, std=0.02)
        self.second = nn.Sequential(nn.GELU(), nn.Linear(dim, dim))

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only pictures that are there pass through the detector."""
        return encode_present(arrays, self._encode)

    def _encode(self, pictures: Arrays) -> Tokens:
        found, maps = self.detector(pictures)
        regions, mask = self._regions(found, maps[-1])
        mask = mask & pictures.mask[:, None]
        strides = self.detector.map_channels
        parts = [
            roi_align(each, regions[..., :4], stride=stride, side=self.config.side).flatten(2)
            for each, stride in zip(maps, strides, strict=True)
        ]
        dtype = self.picture.dtype
        values = self.pooled(self.norm(torch.cat(parts, dim=2).to(dtype)))
        values = values + self.geometry(_geometry(regions, self.size).to(dtype))
        names = self.labels(regions[:, 1:, 5].long())
        names = torch.cat([self.picture.to(names.dtype).expand(len(names), 1, -1), names], dim=1)
        return Tokens(self.second(values + names), mask)

    def _regions(self, found: list[Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 1 + K, 6]`` and their mask; the first is the whole picture, sure of itself and of class 0."""
        kept = [boxes[boxes[:, 4] >= self.config.min_score][: self.config.limit] for boxes in found]
        count = max(map(len, kept), default=0)
        regions = like.new_zeros(len(kept), 1 + count, 6, dtype=torch.float32)
        regions[:, 0, 2:4], regions[:, 0, 4] = self.size, 1
        mask = torch.zeros(regions.shape[:2], dtype=torch.bool, device=regions.device)
        for row, boxes in enumerate(kept):
            regions[row, 1 : 1 + len(boxes)] = boxes
            mask[row, : 1 + len(boxes)] = True
        return regions, mask

    def train(self, mode: bool = True) -> Self:
        """As every module, with the detector in evaluation mode, so that a picture has the same regions in training."""
        super().train(mode)
        self.detector.eval()
        return self


def _geometry(regions: Tensor, size: int) -> Tensor:
    """``[..., 8]``: corners, width and height as parts of the side, a logarithm of the area, and the score."""
    corners = regions[..., :4] / size
    area = box_areas(corners).clamp(min=1 / size**2).log() / math.log(size)
    sides = corners[..., 2:] - corners[..., :2]
    return torch.cat([corners, sides, area.unsqueeze(-1), regions[..., 4:5]], dim=-1)

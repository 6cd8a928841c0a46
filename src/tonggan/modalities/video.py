"""Clips: files of moving pictures to a few uint8 RGB frames of each, spread over its time, and their random variation.

A clip is decoded once, never whole: of equal parts of its time, some frames each. A model sees one of every part: the
middle one, or in training any. What cannot be decoded is an UnreadableError, and the row stays without its clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.config import Config
from tonggan.errors import UnreadableError
from tonggan.modalities.base import Cell, Decoded, Encoded, GraphInput, MediaConfig, MediaModality, mask_of
from tonggan.modalities.clip_frames import MAX_PIXELS, centers, read_frames, read_header
from tonggan.modalities.image import Image, ImageConfig, image_address
from tonggan.modalities.image_augment import ImageAugment, vary_pictures
from tonggan.modalities.movement import Movement
from tonggan.tokens import Arrays
from tonggan.wording import Words

WITH_SOUND = "a sound track"  # as ``describe`` says it


class VideoAugment(Config):
    """Random variation of clips in training, all frames of a clip alike; zero turns one off."""

    flip: bool = False
    """Flip horizontally with probability one half. Off by default, since it turns a movement to the left into one to
    the right."""
    shift: float = Field(default=0.0625, ge=0, lt=1)
    """Shift by up to this fraction of the size in each direction; the border is filled by reflection."""
    cutout: float = Field(default=0.0, ge=0, le=1)
    """Gray out a square of this fraction of the size at a random position."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Multiply by a factor between 1 - brightness and 1 + brightness."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Scale differences from the clip's mean by a factor between 1 - contrast and 1 + contrast."""


class VideoConfig(MediaConfig):
    """A column of clips: paths, or bytes embedded in the table."""

    is_rare: ClassVar[bool] = True
    words: ClassVar[Words] = Words("video", "视频")
    things: ClassVar[Words] = Words("clips", "段视频")
    kind: Literal["video"] = "video"
    size: int = Field(default=64, ge=8, le=1024)
    """Height and width, in pixels, to which every frame is resized."""
    resize: Literal["squash", "crop", "pad"] = "squash"
    """How a frame becomes square: stretch it, crop its center, or pad it with black."""
    frames: int = Field(default=8, ge=1, le=256)
    """Number of frames that a model sees, one from each of as many equal segments of the clip."""
    draws: int = Field(default=3, ge=1, le=16)
    """Frames kept of each segment: training uses a random one, everything else the middle one."""
    max_pixels: int = Field(default=40_000_000, ge=1, le=MAX_PIXELS)
    """A clip whose frames have more pixels is refused before decoding."""
    augment: VideoAugment | None = VideoAugment()
    """Random variation in training; null for none, and then only middle frames are used."""

    def build(self) -> Video:
        """The modality."""
        return Video(self)


class Video(MediaModality[VideoConfig]):
    """Clips as uint8 ``[B, K, 3, size, size]`` in RGB order, in the order of time, with a mask ``[B, K]``.

    True in the mask are the ``frames`` that are seen, one of each part: of the K moments that are kept the middle ones.
    """

    kind: ClassVar[str] = "video"
    essential: ClassVar[tuple[str, ...]] = ("size", "resize", "frames")
    odd: ClassVar[Mapping[str, tuple[Words, Words]]] = {
        "still": (
            Words("show one still picture: nothing moves in them", "只有一幅静止的画面：其中没有任何运动"),
            Words("Look at these files; a column of pictures says as much", "请检查这些文件；图片列可表达同样的内容"),
        ),
    }

    @property
    def picture(self) -> Image:
        """How a single frame is read: what an encoder of pictures is built for."""
        return Image(ImageConfig(size=self.config.size, resize=self.config.resize, augment=None))

    def decode(self, raw: Encoded) -> NDArray[np.uint8]:
        """uint8 ``[K, 3, size, size]`` of an MP4, MOV, WebM, Matroska, AVI, MPEG, FLV, WMV or GIF file.

        The frames are those that are shown at K moments of equal distance, turned upright.

        Raises:
            MissingExtraError: PyAV is not installed.
            UnreadableError: empty, truncated or damaged, without frames, of a codec that is not decoded here, or with
                more than ``max_pixels``.
        """
        config = self.config
        return read_frames(
            raw,
            parts=config.frames,
            draws=config.draws,
            size=config.size,
            resize=config.resize,
            max_pixels=config.max_pixels,
        )

    def open(self, source: Encoded) -> Decoded:
        return Decoded(self.decode(source), None)

    def describe(self, source: Encoded) -> dict[str, str | int]:
        """The pixels of a clip's shorter side, its seconds, and whether it has a sound track."""
        try:
            header = read_header(source, max_pixels=self.config.max_pixels)
        except UnreadableError:
            return {}
        return {
            "size": min(header.width, header.height),
            "seconds": max(1, round(header.end - header.start)),
            "sound": WITH_SOUND if header.has_sound else "no sound track",
        }

    def oddities(self, array: NDArray[Any]) -> list[str]:
        """``still``: all frames are the same."""
        return ["still"] if (array == array[0]).all() else []

    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, and the version of its method."""
        config = self.config
        return f"video-{config.size}-{config.resize}-{config.frames}x{config.draws}-{config.max_pixels}-1"

    def collate(self, items: Sequence[NDArray[np.uint8] | None]) -> Arrays:
        """uint8 ``[B, K, 3, size, size]``; an absent clip is zeros under a False mask."""
        config = self.config
        count = config.frames * config.draws
        values = np.zeros((len(items), count, 3, config.size, config.size), dtype=np.uint8)
        for row, item in enumerate(items):
            if item is not None:
                values[row] = item
        seen = torch.zeros(count, dtype=torch.bool)
        seen[list(centers(config.frames, config.draws))] = True
        return Arrays(torch.from_numpy(values), mask_of(items)[:, None] & seen)

    def vary(self, arrays: Arrays, generator: torch.Generator, *, movement: Movement | None = None) -> Arrays:
        """Any frame of each part instead of the middle one, all of a clip moved and relit alike."""
        del movement
        settings = self.config.augment
        if settings is None:
            return arrays
        batch, parts = len(arrays), self.config.frames
        offsets = torch.randint(self.config.draws, (batch, parts), generator=generator)
        chosen = torch.arange(parts) * self.config.draws + offsets
        frames = arrays.values[torch.arange(batch)[:, None], chosen]
        varied = vary_pictures(frames.flatten(1, 2), ImageAugment(**settings.model_dump()), generator)
        return replace(arrays, values=varied.view_as(frames), mask=arrays.present[:, None].expand(batch, parts).clone())

    def to_graph(self, arrays: Arrays, items: Sequence[Any]) -> GraphInput:
        """The frames that are seen, and which clips are there."""
        del items
        frames = arrays.values[:, list(centers(self.config.frames, self.config.draws))]
        values = f"uint8 {['rows', *frames.shape[1:]]} RGB, upright: the middle frames of equal parts"
        return GraphInput({"": frames, ".present": arrays.present}, {"values": values})

    def from_graph(self, values: Tensor, *others: Tensor) -> Arrays:
        (present,) = others
        return Arrays(values, present.unsqueeze(1).expand(values.shape[:2]))

    def show(self, name: str, item: NDArray[np.uint8] | None) -> list[Cell]:
        """The frames as the model gets them, side by side."""
        if item is None:
            return [Cell(name, "image", None)]
        seen = item[list(centers(self.config.frames, self.config.draws))]
        return [Cell(name, "image", image_address(np.concatenate(list(seen), axis=2)))]

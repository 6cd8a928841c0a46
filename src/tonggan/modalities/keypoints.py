"""Pictures as their keypoints: what SIFT finds in each, computed once when the file is decoded, and kept.

A picture in which nothing is found is no missing picture: it has its first entry, which stands for the picture, and no
other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tonggan.modalities.base import Cell, Encoded, MediaConfig, MediaModality, Range
from tonggan.modalities.image import PILLOW_MAX_PIXELS, Image, ImageConfig, image_address
from tonggan.tokens import Arrays
from tonggan.wording import Words

GEOMETRY, DESCRIPTOR = 5, 128
"""Numbers of a keypoint: x and y from 0 to 1 of the longer side, the binary logarithm of its diameter as a part of that
side, cosine and sine of its direction; and its descriptor."""
_MAX_ENLARGED, _SMALL = 3, 96  # small pictures are enlarged, for SIFT finds little in few pixels
_SHOWN = 256  # pixels of a side


class KeypointsConfig(MediaConfig):
    """A column of pictures, of which only the keypoints are read (SIFT, Lowe 2004)."""

    is_rare: ClassVar[bool] = True
    words: ClassVar[Words] = Words("keypoints", "关键点")
    things: ClassVar[Words] = ImageConfig.things
    range: ClassVar[Range] = ImageConfig.range
    kind: Literal["keypoints"] = "keypoints"
    size: int = Field(default=256, ge=8, le=2048)
    """Pictures whose longer side has more pixels are scaled down to it, keeping their aspect ratio."""
    max_keypoints: int = Field(default=128, ge=1, le=4096)
    """Maximum number of keypoints; those of the strongest contrast are kept."""
    contrast: float = Field(default=0.02, ge=0, le=1)
    """Contrast below which a point is not a keypoint."""
    max_pixels: int = Field(default=100_000_000, ge=1, le=PILLOW_MAX_PIXELS)
    """A picture whose header gives more pixels is refused before decoding."""
    white: float | None = Field(default=None, gt=0)
    """As for pictures: the value of white in those of more than 8 bits."""

    @classmethod
    def of(cls, picture: ImageConfig) -> KeypointsConfig:
        """What reads the keypoints of the same column; a size that was declared stays."""
        settings = {name: getattr(picture, name) for name in ("max_pixels", "white", "size")}
        if "size" not in picture.model_fields_set:
            del settings["size"]
        return cls.model_validate(settings)

    def build(self) -> Keypoints:
        """The modality."""
        return Keypoints(self)


class Keypoints(MediaModality[KeypointsConfig]):
    """Keypoints as float32 ``[B, 1 + K, 133]`` with a mask ``[B, 1 + K]``; the first is zeros, for the picture.

    Each is its geometry and then its descriptor of 0 to 255, the one of the strongest contrast first.
    """

    kind: ClassVar[str] = "keypoints"
    essential: ClassVar[tuple[str, ...]] = ("size", "contrast")

    @cached_property
    def _pictures(self) -> Image:
        return Image(ImageConfig(max_pixels=self.config.max_pixels, white=self.config.white))

    def decode(self, raw: bytes) -> NDArray[np.float16]:
        """float16 ``[1 + K, 133]``, in which descriptors are exact.

        Raises:
            UnreadableError: as of pictures.
        """
        import cv2

        config = self.config
        grey = cv2.cvtColor(self._pictures.upright(raw), cv2.COLOR_RGB2GRAY)
        longer = max(grey.shape)
        scale = min(1.0, config.size / longer)
        scale *= min(_MAX_ENLARGED, max(1.0, _SMALL / (scale * longer)))
        if scale != 1:
            height, width = (max(1, round(side * scale)) for side in grey.shape)
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            grey = cv2.resize(grey, (width, height), interpolation=method)
        return found_keypoints(
            grey.astype(np.uint8, copy=False), most=self.config.max_keypoints, contrast=self.config.contrast
        )

    def describe(self, source: Encoded) -> dict[str, str | int]:
        """As of pictures."""
        return self._pictures.describe(source)

    def greatest(self, source: Encoded) -> float | None:
        """As of pictures."""
        return self._pictures.greatest(source)

    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, and the version of its method."""
        settings = f"{self.config.size}-{self.config.max_keypoints}-{self.config.contrast:g}-1"
        return f"keypoints-{settings}-{self._pictures.cache_key()}"

    def collate(self, items: Sequence[NDArray[np.float16] | None]) -> Arrays:
        """float32 ``[B, L, 133]``, L the most of the batch (1 when all are absent), padded with zeros at the end."""
        lengths = np.array([0 if item is None else len(item) for item in items])
        values = np.zeros((len(items), max(1, lengths.max()), GEOMETRY + DESCRIPTOR), dtype=np.float32)
        for row, item in enumerate(items):
            if item is not None:
                values[row, : len(item)] = item
        mask = np.arange(values.shape[1]) < lengths[:, None]
        return Arrays(torch.from_numpy(values), torch.from_numpy(mask))

    def show(self, name: str, item: NDArray[np.float16] | None) -> list[Cell]:
        """The keypoints as the model gets them: circles of their size, each with its direction."""
        return [Cell(name, "image", None if item is None else image_address(_drawn(item)))]


def found_keypoints(grey: NDArray[np.uint8], *, most: int, contrast: float) -> NDArray[np.float16]:
    """``[1 + K, 133]`` of a grey picture ``[H, W]``, as ``Keypoints`` says; equal ones in the order of their place."""
    import cv2

    finder = cv2.SIFT.create(nfeatures=most, contrastThreshold=contrast)
    keypoints, descriptors = finder.detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((1, GEOMETRY + DESCRIPTOR), dtype=np.float16)
    longer = max(grey.shape)
    # Plain sorting: each call into NumPy costs more here than a few keypoints do, for SIFT has filled the caches.
    order = sorted(
        (-each.response, each.pt[0], each.pt[1], each.angle, each.size, place) for place, each in enumerate(keypoints)
    )
    found = np.zeros((1 + min(most, len(order)), GEOMETRY + DESCRIPTOR), dtype=np.float16)
    geometry = (
        (x / longer, y / longer, math.log2(size / longer), math.cos(math.radians(angle)), math.sin(math.radians(angle)))
        for _, x, y, angle, size, _ in order[:most]
    )
    found[1:, :GEOMETRY] = list(geometry)
    found[1:, GEOMETRY:] = descriptors[[each[-1] for each in order[:most]]]
    return found


def _drawn(item: NDArray[np.float16]) -> NDArray[np.uint8]:
    """uint8 ``[3, H, W]``."""
    import cv2

    canvas = np.full((_SHOWN, _SHOWN, 3), 255, dtype=np.uint8)
    for x, y, scale, cosine, sine in item[1:, :GEOMETRY].astype(float):
        radius = _SHOWN * 2**scale / 2
        center = round(x * _SHOWN), round(y * _SHOWN)
        tip = round(x * _SHOWN + radius * cosine), round(y * _SHOWN + radius * sine)
        cv2.circle(canvas, center, max(1, math.ceil(radius)), (60, 60, 200), 1, cv2.LINE_AA)
        cv2.line(canvas, center, tip, (200, 60, 60), 1, cv2.LINE_AA)
    return canvas.transpose(2, 0, 1)

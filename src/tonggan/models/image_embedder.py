"""Pictures to vectors by a network that stays as it was trained elsewhere, for plain members to learn from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tonggan.encoders.image_trunk import ImageFeatures, ImageTrunk, image_sha256, open_image_trunk
from tonggan.layers.cores import map_on_cores
from tonggan.progress import Progress

REGIONS = 4
"""Of a side of a picture, at most."""
_PICTURES_AT_ONCE = 4  # what a layer makes of so many stays in the processor's caches
_BATCHES_AT_ONCE = 64  # between two looks at the progress
_PREPARATION = "whole, area or cubic, 1"  # changes with whatever changes the vectors


class ImageEmbedder:
    """A frozen network with its preparation of pictures.

    Args:
        trunk: the network, with its weights.
        name: of the weights.
        sha256: of the weights.

    Attributes:
        name: of the weights.
        identity: of all that vectors depend on: they can be compared only with vectors of the same identity.
        dim: width of a vector.
    """

    def __init__(self, trunk: ImageTrunk, *, name: str, sha256: str) -> None:
        self._trunk = trunk.eval().requires_grad_(False)
        self.name = name
        self.dim = trunk.dim
        self.identity = hashlib.sha256(f"{sha256} {trunk.side} {_PREPARATION}".encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str) -> Self:
        """The embedder of the weights ``name``: of the catalogue, or of a folder in Hugging Face's layout.

        Raises:
            ConfigError: there are no such weights.
            DataError: their files are missing, damaged or exchanged.
            MissingExtraError: a package is not installed.
        """
        return cls(open_image_trunk(name), name=name, sha256=image_sha256(name))

    def embed(self, items: Sequence[NDArray[np.uint8]], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """``[N, D]``: what the network would classify each picture by.

        Args:
            items: uint8 ``[3, H, W]`` in RGB order, of any sizes; each is brought to the size that the weights want.
            progress: is told how many are done.
        """
        progress = progress or Progress()
        result = np.empty((len(items), self.dim), dtype=np.float32)
        step = _PICTURES_AT_ONCE * _BATCHES_AT_ONCE
        for first in range(0, len(items), step):
            starts = range(first, min(first + step, len(items)), _PICTURES_AT_ONCE)
            batches = [items[start : start + _PICTURES_AT_ONCE] for start in starts]
            for start, vectors in zip(starts, map_on_cores(self._vectors, batches), strict=True):
                result[start : start + len(vectors)] = vectors
            progress.update("embed", done=min(first + step, len(items)), total=len(items))
        return result

    def embed_tokens(self, items: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """For each picture the vectors of its regions ``[T, D]`` in reading order: a square of 4 by 4 at most."""
        batches = [items[start : start + _PICTURES_AT_ONCE] for start in range(0, len(items), _PICTURES_AT_ONCE)]
        return [regions for found in map_on_cores(self._regions, batches) for regions in found]

    def _vectors(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._features(pictures).vector.numpy()
        return vectors

    def _regions(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        cells = self._features(pictures).cells.float()
        side = math.isqrt(cells.shape[1])
        # What stands before the cells of a square, as of a transformer, is no region.
        square = cells[:, cells.shape[1] - side**2 :].transpose(1, 2).reshape(len(cells), -1, side, side)
        regions = F.adaptive_avg_pool2d(square, min(side, REGIONS)).flatten(2).transpose(1, 2)
        return regions.contiguous().numpy()

    @torch.no_grad()
    def _features(self, pictures: Sequence[NDArray[np.uint8]]) -> ImageFeatures:
        squares = np.stack([to_square(picture, side=self._trunk.side) for picture in pictures])
        features: ImageFeatures = self._trunk(torch.from_numpy(squares).permute(0, 3, 1, 2))
        return features


def to_square(picture: NDArray[np.uint8], *, side: int) -> NDArray[np.uint8]:
    """uint8 ``[3, H, W]`` to ``[side, side, 3]``: the whole picture, as columns of pictures are read by default.

    The published accuracies are those of its middle. What stands near a border may decide elsewhere, and pictures of
    CIFAR-10 are classified as well by their whole.
    """
    import cv2

    pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
    if pixels.shape[:2] == (side, side):
        return pixels
    method = cv2.INTER_AREA if min(pixels.shape[:2]) > side else cv2.INTER_CUBIC
    resized: NDArray[np.uint8] = cv2.resize(pixels, (side, side), interpolation=method).astype(np.uint8, copy=False)
    return resized

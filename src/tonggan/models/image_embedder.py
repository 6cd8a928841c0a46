"""Pictures to vectors by a network that stays as it was trained elsewhere, for plain members to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.encoders.efficientnet import SHAPES, EfficientNet, folded, load_efficientnet, normalized
from tonggan.layers.cores import map_on_cores
from tonggan.progress import Progress
from tonggan.weights import find_weights

_PICTURES_AT_ONCE = 4  # what a layer makes of so many stays in the processor's caches
_BATCHES_AT_ONCE = 64  # between two looks at the progress
_MARGIN = 32  # pixels of a picture's side that the published preparation cuts off, of side + 32
_PREPARATION = "crop, area or cubic, 1"  # changes with whatever changes the vectors


class ImageEmbedder:
    """A frozen network with its preparation of pictures.

    Args:
        network: with its weights.
        name: of the weights.
        identity: of all that vectors depend on but the code here.
        side: pixels of a side of the pictures that the network reads.

    Attributes:
        name: of the weights.
        identity: vectors can be compared only with vectors of the same identity.
        dim: width of a vector.
    """

    def __init__(self, network: EfficientNet, *, name: str, identity: str, side: int) -> None:
        self._network = folded(network)
        self.name = name
        self.dim = network.dim
        self._side = side
        self.identity = hashlib.sha256(f"{identity} {side} {_PREPARATION}".encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str) -> ImageEmbedder:
        """The embedder with the weights that the catalogue calls ``name``.

        Raises:
            ConfigError: the catalogue has no such image weights.
            DataError: their file is another one than the published one.
            MissingExtraError: their package is not installed.
        """
        digests = " ".join(find_weights(name, reads="image").sha256.values())
        return cls(load_efficientnet(name), name=name, identity=digests, side=SHAPES[name].side)

    def embed(self, items: Sequence[NDArray[np.uint8]], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """``[N, D]``: the mean of each picture's last feature map.

        Args:
            items: uint8 ``[3, H, W]`` in RGB order, of any sizes; each is cut and resized as the weights want.
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

    @torch.no_grad()
    def _vectors(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        squares = torch.from_numpy(np.stack([center_square(picture, side=self._side) for picture in pictures]))
        found: Tensor = self._network(normalized(squares.permute(0, 3, 1, 2), dtype=torch.float32)).mean(dim=(2, 3))
        vectors: NDArray[np.float32] = found.numpy()
        return vectors


def center_square(picture: NDArray[np.uint8], *, side: int) -> NDArray[np.uint8]:
    """uint8 ``[3, H, W]`` to ``[side, side, 3]``: the middle, without the margin that training cut off at random.

    The square is side / (side + 32) of the shorter side, as for the published accuracies. It is averaged over areas
    where it shrinks, which those leave out: a large photograph would otherwise be read at every tenth pixel.
    """
    import cv2

    height, width = picture.shape[1:]
    size = max(1, int(side / (side + _MARGIN) * min(height, width)))
    top, left = (height - size + 1) // 2, (width - size + 1) // 2
    square = np.ascontiguousarray(picture[:, top : top + size, left : left + size].transpose(1, 2, 0))
    method = cv2.INTER_AREA if size > side else cv2.INTER_CUBIC
    resized: NDArray[np.uint8] = cv2.resize(square, (side, side), interpolation=method).astype(np.uint8, copy=False)
    return resized

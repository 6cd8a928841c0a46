"""Clips to vectors by a network of pictures that stays as it was trained elsewhere, for plain members to learn from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tonggan.encoders.image_trunk import ImageTrunk
from tonggan.layers.cores import map_on_cores
from tonggan.models.image_embedder import ImageEmbedder, to_square
from tonggan.progress import Progress

_STRETCHES = 16
_CLIPS_AT_ONCE = 64  # between two looks at the progress
_SIDE = 128  # of a frame; half of the side of a picture costs a quarter
_PREPARATION = "mean, late less early: all, across, down; 128 pixels, 1"  # changes with whatever changes the vectors


class VideoEmbedder(ImageEmbedder):
    """A frozen network of pictures over the frames of a clip.

    A vector holds the mean over time, then how the second half of a clip differs from the first: as a whole, and in
    where it stands, across and down.

    Args:
        trunk: the network, with its weights.
        name: of the weights.
        sha256: of the weights.

    Attributes:
        name: of the weights.
        identity: vectors can be compared only with vectors of the same identity.
        dim: width of a vector.
    """

    def __init__(self, trunk: ImageTrunk, *, name: str, sha256: str) -> None:
        super().__init__(trunk, name=name, sha256=sha256)
        self.dim = 4 * trunk.dim
        self.identity = hashlib.sha256(f"{sha256} {_PREPARATION}".encode()).hexdigest()[:16]

    def embed(self, items: Sequence[NDArray[np.uint8]], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """``[N, D]``.

        Args:
            items: uint8 ``[F, 3, H, W]``, the frames of each clip in the order of time.
            progress: is told how many are done.
        """
        progress = progress or Progress()
        result = np.empty((len(items), self.dim), dtype=np.float32)
        for first in range(0, len(items), _CLIPS_AT_ONCE):
            part = items[first : first + _CLIPS_AT_ONCE]
            for row, vector in enumerate(map_on_cores(self._vector, part), first):
                result[row] = vector
            progress.update("embed", done=first + len(part), total=len(items))
        return result

    def embed_tokens(self, items: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """For each clip ``[T, D / 4]``: the mean of each of its frames, or of stretches of them, sixteen at most."""
        return list(map_on_cores(self._stretches, items))

    def _vector(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = over_time(self._cells(frames)).numpy()
        return vector

    def _stretches(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = self._cells(frames).mean(dim=1)
        if len(values) > _STRETCHES:
            values = F.adaptive_avg_pool1d(values.T, _STRETCHES).T.contiguous()
        stretches: NDArray[np.float32] = values.numpy()
        return stretches

    @torch.no_grad()
    def _cells(self, frames: NDArray[np.uint8]) -> Tensor:
        side = min(self._trunk.side, _SIDE)
        squares = np.stack([to_square(frame, side=side) for frame in frames])
        cells: Tensor = self._trunk(torch.from_numpy(squares).permute(0, 3, 1, 2)).cells
        return cells.float()


def over_time(cells: Tensor) -> Tensor:
    """``[4 D]`` of the cells ``[F, L, D]`` of the frames of a clip, those of a square in reading order."""
    count = len(cells)
    half = max(1, count // 2)
    change = cells[-half:].mean(dim=0) - cells[:half].mean(dim=0)  # [L, D]
    side = math.isqrt(cells.shape[1])
    axis = torch.linspace(-1, 1, side) if side > 1 else torch.zeros(1)
    down, across = (place.reshape(-1, 1) for place in torch.meshgrid(axis, axis, indexing="ij"))
    change = change[: side**2]
    moments = [change.mean(dim=0), (change * across).mean(dim=0), (change * down).mean(dim=0)]
    return torch.cat([cells.mean(dim=(0, 1)), *moments])

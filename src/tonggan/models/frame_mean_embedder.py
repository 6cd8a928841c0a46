"""Clips to vectors in the space of a frozen network of pictures, so that clips and pictures can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tonggan.encoders.image_trunk import ImageTrunk
from tonggan.models.image_embedder import ImageEmbedder
from tonggan.progress import Progress

_PREPARATION = "mean of frames, 1"  # changes with whatever changes the vectors


class FrameMeanEmbedder(ImageEmbedder):
    """The mean, over the frames of a clip, of what ``ImageEmbedder`` says of each; what moves where is lost.

    Args:
        trunk: the network, with its weights.
        name: of the weights.
        sha256: of the weights.
    """

    def __init__(self, trunk: ImageTrunk, *, name: str, sha256: str) -> None:
        super().__init__(trunk, name=name, sha256=sha256)
        self.identity = hashlib.sha256(f"{self.identity} {_PREPARATION}".encode()).hexdigest()[:16]

    def embed(self, items: Sequence[NDArray[np.uint8]], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """``[N, D]``.

        Args:
            items: uint8 ``[F, 3, H, W]``, the frames of each clip.
            progress: is told how many frames are done.
        """
        vectors = super().embed([frame for frames in items for frame in frames], progress=progress)
        ends = np.cumsum([len(frames) for frames in items])[:-1]
        means = [part.mean(axis=0) for part in np.split(vectors, ends)] if items else []
        return np.array(means, dtype=np.float32).reshape(len(items), self.dim)

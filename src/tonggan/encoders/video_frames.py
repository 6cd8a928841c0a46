"""What the encoders of clips share: the frames that are seen, and an encoder of pictures for each of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tonggan.tokens import Arrays


class SeenFrames(nn.Module):
    """Clips to the frames that are seen: a front end, which computes as it did where the rest is in 8-bit integers."""

    def forward(self, clips: Arrays) -> Arrays:
        """Frames uint8 ``[B, N, 3, S, S]`` that the mask of ``clips`` shows, in their order, under ``[B, N]``."""
        if torch.compiler.is_exporting():  # a graph is given no others
            return clips
        count = max(1, int(clips.mask.sum(dim=1).max())) if len(clips) else 1
        order = torch.argsort(~clips.mask, dim=1, stable=True)[:, :count]
        rows = torch.arange(len(clips), device=order.device)[:, None]
        return Arrays(clips.values[rows, order], clips.mask[rows, order])


class FrameEncoder(nn.Module):
    """One vector for each frame, of an encoder of pictures: what it sees, and where.

    A mean over an encoder's tokens forgets where they stood, so each is first changed by what it is and its place.

    Args:
        encoder: of pictures ``[N, 3, S, S]`` to Tokens.
        dim: width of its tokens, and of a vector.
    """

    def __init__(self, encoder: nn.Module, *, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.cells = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """``[B, N, dim]`` of frames uint8 ``[B, N, 3, S, S]``; zeros where ``mask`` [B, N] is False."""
        tokens = self.encoder(Arrays(frames.flatten(0, 1), mask.flatten()))
        cells = type(tokens)(self.cells(tokens.values), tokens.mask)
        vectors: Tensor = cells.mean().view(*mask.shape, tokens.dim)
        return vectors

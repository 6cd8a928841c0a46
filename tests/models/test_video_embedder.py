import numpy as np
import torch

from tonggan.floor.frozen import open_frozen
from tonggan.modalities.video import VideoConfig
from tonggan.models.video_embedder import over_time


def test_what_moves_by_hand():
    # One feature that lights up at the top left in the first half, at the bottom left in the second.
    cells = torch.zeros(4, 4, 1)
    cells[:2, 0] = 1
    cells[2:, 2] = 1
    # Mean; no change as a whole; none across; a quarter of two cells by which it moves down.
    torch.testing.assert_close(over_time(cells), torch.tensor([0.25, 0.0, 0.0, 0.5]))
    assert over_time(torch.ones(1, 9, 2)).tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_clips_through_frozen_weights_know_which_way():
    embedder = open_frozen(VideoConfig(size=64).build(), "efficientnet_lite0")
    frames = np.full((4, 3, 64, 64), 200, dtype=np.uint8)
    for time in range(4):
        frames[time, :, 24:40, 4 + 14 * time : 18 + 14 * time] = np.array([250, 30, 30])[:, None, None]
    forth, back, still = embedder.embed([frames, frames[::-1], frames[:1].repeat(4, axis=0)])
    assert forth.shape == (embedder.dim,)
    dim = embedder.dim // 4
    np.testing.assert_allclose(forth[:dim], back[:dim], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(forth[dim:], -back[dim:], rtol=1e-3, atol=1e-3)
    assert np.abs(forth[2 * dim : 3 * dim]).sum() > 2 * np.abs(forth[3 * dim :]).sum()
    np.testing.assert_allclose(still[dim:], 0, atol=1e-4)
    frames_of = embedder.embed_tokens([frames, frames.repeat(10, axis=0)])
    assert [each.shape for each in frames_of] == [(4, dim), (16, dim)]
    np.testing.assert_allclose(frames_of[0].mean(axis=0), forth[:dim], rtol=1e-3, atol=1e-4)

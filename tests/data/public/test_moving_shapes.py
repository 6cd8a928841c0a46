from collections import Counter

import numpy as np
import pytest

from public_sets import needs_mirror, parts_of
from tonggan.data.public import moving_shapes
from tonggan.modalities.video import VideoConfig


@needs_mirror
def test_clips_show_what_their_row_says(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_shapes, "NUM_CLIPS", {"train": 64, "valid": 8, "test": 16})
    parts = parts_of("moving_shapes", tmp_path)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 64, "valid": 8, "test": 16}
    pairs = Counter((row["motion"], row["object"]) for row in parts["train"])
    assert len(pairs) == 64
    video = VideoConfig(size=64, frames=8, draws=1).build()
    folder = tmp_path / "sets" / "moving_shapes"
    for row in parts["train"][:24]:
        frames = video.decode(folder / row["clip"]).astype(float)
        # What differs from the photograph, which is what a pixel mostly shows.
        ground = np.median(frames, axis=0)
        drawn = np.abs(frames - ground).sum(axis=1) > 60
        across, down = ([mask.nonzero()[axis].mean() for mask in drawn[[0, -1]]] for axis in (1, 0))
        area = [mask.sum() for mask in drawn[[0, -1]]]
        says = {
            "left": across[1] - across[0] < -8,
            "right": across[1] - across[0] > 8,
            "up": down[1] - down[0] < -8,
            "down": down[1] - down[0] > 8,
            "grow": area[1] > 1.5 * area[0],
            "shrink": area[0] > 1.5 * area[1],
        }
        assert says.get(row["motion"], True), row
    first = (folder / parts["train"][0]["clip"]).read_bytes()
    again = parts_of("moving_shapes", tmp_path / "again")
    assert again == parts
    assert (tmp_path / "again" / "sets" / "moving_shapes" / parts["train"][0]["clip"]).read_bytes() == first

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from public_sets import get, needs_mirror, parts_of


@needs_mirror
@pytest.mark.slow
def test_nuclei_are_cut_by_kind_without_overlap(cache_of_sets: Path) -> None:
    parts = parts_of("nuclei", cache_of_sets)
    rows = [row for part in parts.values() for row in part]
    assert len(rows) == len({row["image"] for row in rows}) == 664
    assert sum(int(row["count"]) for row in rows) == 28_986
    assert {split: round(len(part) / 664, 2) for split, part in parts.items()} == {
        "train": 0.7,
        "valid": 0.1,
        "test": 0.2,
    }
    kinds = {split: Counter(row["kind"] for row in part) for split, part in parts.items()}
    for kind, total in Counter(row["kind"] for row in rows).items():
        assert abs(kinds["test"][kind] - 0.2 * total) <= 1
    folder = get("nuclei", cache_of_sets)["test"].parent
    for row in parts["test"][::10]:
        mask = np.asarray(Image.open(folder / row["mask"]))
        picture = Image.open(folder / row["image"])
        assert mask.shape == picture.size[::-1]
        assert set(np.unique(mask).tolist()) <= {0, 1}
        boxes = [item["box"] for item in json.loads(row["objects"])]
        assert len(boxes) == int(row["count"])
        covered = np.zeros_like(mask)
        for x1, y1, x2, y2 in boxes:
            assert mask[y1:y2, x1:x2].any()
            covered[y1:y2, x1:x2] = 1
        assert (covered[mask > 0] == 1).all()

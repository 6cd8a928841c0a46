from pathlib import Path

from public_sets import get, parts_of
from tonggan.data.public.emojis import family_of


def test_no_variant_of_a_drawing_is_in_two_parts(cache_of_sets: Path) -> None:
    parts = parts_of("emoji_space", cache_of_sets)
    assert {split: len(part) for split, part in parts.items()} == {"train": 1368, "valid": 150, "test": 200}
    rows = [row for part in parts.values() for row in part]
    emojis = ["".join(chr(int(code, 16)) for code in Path(row["drawing"]).stem.split("-")) for row in rows]
    assert len({family_of(emoji) for emoji in emojis}) == len(rows)
    panda = next(row for row in rows if row["english"] == "panda")
    assert (panda["chinese"], panda["group"]) == ("熊猫", "Animals & Nature")
    assert any(not row["group"] for row in rows)  # flags
    folder = get("emoji_space", cache_of_sets)["test"].parent
    assert all((folder / row["drawing"]).is_file() for row in parts["test"])

from pathlib import Path

from public_sets import get, parts_of
from tonggan.data.public.emoji_tags import LEAST
from tonggan.data.public.emojis import family_of


def test_tags_of_drawings_no_variant_of_which_is_in_two_parts(cache_of_sets: Path) -> None:
    parts = parts_of("emoji_tags", cache_of_sets)
    assert {split: len(part) for split, part in parts.items()} == {"train": 990, "valid": 150, "test": 300}
    rows = [row for part in parts.values() for row in part]
    emojis = ["".join(chr(int(code, 16)) for code in row["emoji"].split("-")) for row in rows]
    assert len({family_of(emoji) for emoji in emojis}) == len(rows)
    folder = get("emoji_tags", cache_of_sets)["test"].parent
    assert all((folder / row["drawing"]).is_file() for row in parts["test"])
    panda = next(row for row in rows if row["english"] == "panda")
    assert panda["tags"] == "animals & nature|animal mammal"


def test_a_tag_is_frequent_in_the_training_part(cache_of_sets: Path) -> None:
    parts = parts_of("emoji_tags", cache_of_sets)
    learned = [tag for row in parts["train"] for tag in row["tags"].split("|")]
    assert all(learned.count(tag) >= LEAST for tag in set(learned))
    assert {tag for row in parts["test"] for tag in row["tags"].split("|")} <= set(learned)

from collections import Counter
from pathlib import Path

import pytest

from public_sets import get, needs_mirror, parts_of, rows_of
from tonggan.data.catalogue import CATALOGUE, find_set
from tonggan.errors import ConfigError


def test_every_set_says_what_it_is_and_where_it_is_from() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.source.startswith("http")
        assert entry.license
        assert all(len(file.sha256) == 64 for file in entry.files)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="easy_vqa, cifar10"):
        find_set("imagenet")


def test_easy_vqa_keeps_the_official_split(tmp_path: Path) -> None:
    tables = get("easy_vqa", tmp_path)
    train, test = rows_of(tables["train"]), rows_of(tables["test"])
    assert (len(train), len(test)) == (38_575, 9_673)
    assert (len({row["image"] for row in train}), len({row["image"] for row in test})) == (4_000, 1_000)
    assert len({row["answer"] for row in train}) == 13
    assert Path(train[0]["image"]).is_file()


@needs_mirror
def test_news_is_cut_by_class_without_overlap(tmp_path: Path) -> None:
    for name, total in (("ag_news", 7_600), ("thucnews", 10_000)):
        tables = get(name, tmp_path)
        parts = {split: rows_of(path) for split, path in tables.items()}
        assert {split: len(rows) for split, rows in parts.items()} == {
            "train": 0.8 * total,
            "valid": 0.1 * total,
            "test": 0.1 * total,
        }
        for rows in parts.values():
            counts = Counter(row["class"] for row in rows)
            assert max(counts.values()) - min(counts.values()) <= 1
        again = get(name, tmp_path / "again")
        assert again["test"].read_bytes() == tables["test"].read_bytes()


@needs_mirror
def test_no_english_sentence_is_in_two_parts(tmp_path: Path) -> None:
    parts = {split: {row["english"] for row in rows} for split, rows in parts_of("tatoeba_zh_en", tmp_path).items()}
    assert not parts["train"] & parts["valid"]
    assert not parts["train"] & parts["test"]
    assert not parts["valid"] & parts["test"]


@needs_mirror
def test_blood_cells_have_pictures_and_counts(tmp_path: Path) -> None:
    tables = get("bccd", tmp_path)
    rows = rows_of(tables["train"]) + rows_of(tables["test"])
    assert len(rows) == 364
    assert all((tables["train"].parent / row["image"]).is_file() for row in rows)
    assert sum(int(row["RBC"]) for row in rows) > 4_000


@needs_mirror
def test_cosqa_queries_point_at_functions(tmp_path: Path) -> None:
    tables = get("cosqa", tmp_path)
    functions = {row["function"] for row in rows_of(tables["functions"])}
    queries = rows_of(tables["queries"])
    assert (len(queries), len(functions), len(rows_of(tables["valid"]))) == (500, 6_267, 604)
    assert all(row["function"] in functions for row in queries)


@needs_mirror
def test_pairs_are_balanced_and_share_nothing_between_parts(cache_of_sets: Path) -> None:
    parts = parts_of("cifar10_spoken_digits", cache_of_sets)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 90_000, "valid": 10_000, "test": 20_000}
    for rows in parts.values():
        assert Counter(row["match"] for row in rows) == {"yes": len(rows) // 2, "no": len(rows) // 2}
        assert all((row["picture_class"] == row["digit"]) == (row["match"] == "yes") for row in rows)
    for column in ("picture", "sound"):
        train, valid, test = ({row[column] for row in parts[split]} for split in ("train", "valid", "test"))
        assert not train & valid
        assert all(name.split("/")[1] == "train" for name in train | valid)
        assert all(name.split("/")[1] == "test" for name in test)

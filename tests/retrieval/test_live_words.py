import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval_scene import fill, make_row, open_store, vector_of
from tonggan.retrieval import live_vectors
from tonggan.retrieval.store import Row
from tonggan.retrieval.word_index import WordIndex

pytest.importorskip("faiss")
pytest.importorskip("tantivy")


def damage_nothing(folder: Path) -> None:
    pass


def remove_all(folder: Path) -> None:
    for path in files_of_indexes(folder):
        path.unlink()


def truncate_all(folder: Path) -> None:
    for path in files_of_indexes(folder):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bytes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for path in files_of_indexes(folder):
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, max(len(content), 1), 20 if content else 0):
            content[place] ^= 0xFF
        path.write_bytes(content)


def truncate_one(folder: Path) -> None:
    path = sorted(folder.glob("words-*/*.idx"))[0]
    path.write_bytes(path.read_bytes()[:-3])


def remove_records(folder: Path) -> None:
    with sqlite3.connect(folder / "store.sqlite") as connection:
        connection.execute("DELETE FROM meta WHERE name IN ('words', 'vectors')")


def files_of_indexes(folder: Path) -> list[Path]:
    return [path for path in sorted([*folder.glob("words-*/*"), *folder.glob("vectors-*")]) if path.is_file()]


@pytest.mark.parametrize("damage", [damage_nothing, remove_all, truncate_all, flip_bytes, truncate_one, remove_records])
@pytest.mark.parametrize("written_to", [False, True])
def test_damaged_indexes_are_made_anew(tmp_path, monkeypatch, damage: Callable[[Path], None], written_to: bool):
    monkeypatch.setattr(live_vectors, "_FEW", 10)
    with open_store(tmp_path) as store:
        fill(store, [make_row(number) for number in range(30)])
        fill(store, [make_row(30)])
        if written_to:  # The writer meets the damage, not the next one who opens the store.
            damage(tmp_path)
            fill(store, [make_row(31)])
    if not written_to:
        damage(tmp_path)
    with open_store(tmp_path) as store:
        for number in range(31 + written_to):
            assert list(store.search_words(f"word{number}")) == [f"row{number}"]
            assert next(iter(store.search_vectors(vector_of(number)))) == f"row{number}"
        assert len(list(tmp_path.glob("words-*"))) == len(list(tmp_path.glob("vectors-*.faiss"))) == 1


def test_damage_that_sizes_and_times_do_not_show_is_mended_by_the_search_that_meets_it(tmp_path):
    with open_store(tmp_path) as store:
        fill(store, [make_row(number) for number in range(5)])
    for path in tmp_path.glob("words-*/*.idx"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with open_store(tmp_path) as store:
        assert list(store.search_words("word3")) == ["row3"]
        assert [path.name for path in tmp_path.glob("words-*")] == ["words-2"]


def test_files_that_a_killed_writer_left_do_not_stop_the_next(tmp_path):
    """A list of deleted rows was written but the process died before the index referred to it."""
    with open_store(tmp_path / "store", dim=None) as store:
        fill(store, [Row(f"row{number}", f"g{number}", "h", f"word{number}") for number in range(5)])
        (folder,) = (tmp_path / "store").glob("words-*")
        shutil.copytree(folder, tmp_path / "further")
        WordIndex(tmp_path / "further", parts=("text",)).update(removed=[1], added=[])
        (left,) = (tmp_path / "further").glob("*.del")
        shutil.copy(left, folder)
        shutil.copy(tmp_path / "further" / ".managed.json", folder)
        with store.writing() as writer:
            writer.delete_group("g0")
        assert store.search_words("word0") == {}
        assert list(store.search_words("word1")) == ["row1"]
        assert [path.name for path in (tmp_path / "store").glob("words-*")] == [folder.name]


def test_an_error_of_the_analysis_stays_what_it_is(tmp_path):
    def fail(text: str) -> list[str]:
        raise ValueError(text)

    with open_store(tmp_path, dim=None, analyze=fail) as store, pytest.raises(ValueError, match=r"^the text$"):
        fill(store, [Row("k", "g", "h", "the text")])
    with open_store(tmp_path, dim=None) as store:
        assert list(store.search_words("text")) == ["k"]

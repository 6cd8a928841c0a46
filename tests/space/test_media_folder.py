"""Folders as tables: whatever lies in them, and what is said where nothing does."""

from __future__ import annotations

import pytest

from tonggan.errors import DataError
from tonggan.space.media_folder import media_below


def test_files_at_any_depth_are_rows(tmp_path, monkeypatch):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.JPG", "sub/c.wav", ".hidden.png", "notes.csv"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    rows = media_below("photos")
    assert rows == {"audio": [None, None, "photos/sub/c.wav"], "image": ["photos/a.png", "photos/sub/b.JPG", None]}
    assert media_below("photos/notes.csv") == "photos/notes.csv"


@pytest.mark.parametrize(
    ("names", "said"), [([], "got no files"), (["a.csv", "sub/b.doc"], "got none, but other files: 1 .csv, 1 .doc")]
)
def test_a_folder_without_pictures_is_named(names, said, tmp_path):
    folder = tmp_path / "empty"
    (folder / "sub").mkdir(parents=True)
    for name in names:
        (folder / name).write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=said):
        media_below(folder)

import pytest

from tonggan.data.readers import open_table
from tonggan.errors import DataError
from tonggan.progress import Progress


class Told(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def fill(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_pictures_at_any_depth(tmp_path):
    folder = fill(
        tmp_path / "pets", "dog/2.jpg", "dog/more/1.PNG", "cat/1.jpg", ".hidden/1.jpg", "cat/.DS_Store", "1.jpg"
    )
    table = open_table(folder, cache=tmp_path / "cache")
    assert table.names == ["image", "label"]
    assert table.values("image") == ["cat/1.jpg", "dog/2.jpg", "dog/more/1.PNG"]
    assert table.values("label") == ["cat", "dog", "dog"]
    assert table.base == folder


def test_clips(tmp_path):
    folder = fill(tmp_path / "moves", "jump/1.mp4", "jump/2.mov", "run/1.webm", "run/1.txt")
    table = open_table(folder, cache=tmp_path / "cache")
    assert table.names == ["video", "label"]
    assert table.values("video") == ["jump/1.mp4", "jump/2.mov", "run/1.webm"]


def test_the_most_frequent_kind_is_read_and_the_rest_told(tmp_path):
    folder = fill(tmp_path / "sounds", "a/1.wav", "a/2.wav", "b/3.flac", "b/notes.txt", "b/clip.mp4")
    told = Told()
    table = open_table(folder, cache=tmp_path / "cache", progress=told)
    assert table.values("audio") == ["a/1.wav", "a/2.wav", "b/3.flac"]
    assert told.lines == [f"{folder}: 3 audio files are read, 2 others left out"]


def test_texts_are_stored(tmp_path):
    folder = fill(tmp_path / "reviews", "pos/1.txt", content="很好".encode())
    fill(folder, "neg/1.txt", content=b"bad")
    table = open_table(folder, cache=tmp_path / "cache")
    assert table.values("text") == ["bad", "很好"]
    assert table.values("label") == ["neg", "pos"]
    fill(folder, "neg/1.txt", content=b"\xff\xff")
    with pytest.raises(DataError, match=r"1\.txt: .*UTF-8"):
        open_table(folder, cache=tmp_path / "cache")


def test_a_new_file_changes_the_fingerprint(tmp_path):
    folder = fill(tmp_path / "pets", "a/1.jpg")
    before = open_table(folder, cache=tmp_path / "cache").fingerprint
    assert open_table(folder, cache=tmp_path / "cache").fingerprint == before
    fill(folder, "a/2.jpg")
    table = open_table(folder, cache=tmp_path / "cache")
    assert len(table) == 2
    assert table.fingerprint != before


def test_folders_that_are_none_of_this(tmp_path):
    with pytest.raises(DataError, match=r"the parts of a split: train, test.*Pass .*train, and each other part"):
        open_table(fill(tmp_path / "split", "train/a/1.jpg", "test/a/1.jpg"), cache=tmp_path / "cache")
    for names in ((), ("1.xyz",), ("1.jpg", "1.wav"), ("a/1.xyz",)):
        folder = fill(tmp_path / f"none{len(names)}{''.join(names)[:1]}", *names)
        folder.mkdir(exist_ok=True)
        with pytest.raises(DataError, match="expected pictures, sounds or clips, of one of these kinds alone"):
            open_table(folder, cache=tmp_path / "cache")


def test_pictures_alone_are_rows_of_which_nothing_is_told(tmp_path):
    folder = fill(tmp_path / "photos", "b.jpg", "a.PNG", ".hidden")
    for source in (folder, str(folder / "*")):
        table = open_table(source, cache=tmp_path / "cache")
        assert table.names == ["image"]
        assert table.values("image") == ["a.PNG", "b.jpg"]
        assert table.base == folder
    one = open_table(folder / "b.jpg", cache=tmp_path / "cache")
    assert one.values("image") == ["b.jpg"]
    sounds = open_table(fill(tmp_path / "sounds", "1.wav"), cache=tmp_path / "cache")
    assert (sounds.names, sounds.values("audio")) == (["audio"], ["1.wav"])
    deep = fill(tmp_path / "deep", "x/1.jpg", "y/2.jpg")
    assert open_table(f"{deep}/*/*.jpg", cache=tmp_path / "cache").values("image") == ["x/1.jpg", "y/2.jpg"]


@pytest.mark.parametrize(
    ("names", "got"),
    [((), "got no files"), (("a.jpg", "b.wav", "c.jpg", "README"), r"mixed kinds: 2 \.jpg, 1 no ending, 1 \.wav")],
)
def test_a_folder_of_nothing_or_of_mixed_files_says_what_lies_there(tmp_path, names, got):
    (tmp_path / "files").mkdir()
    with pytest.raises(DataError, match=got):
        open_table(fill(tmp_path / "files", *names), cache=tmp_path / "cache")

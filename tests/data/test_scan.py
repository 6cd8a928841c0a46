"""The scan of a media column: what each row has, decoded once, with kills and other processes."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import forked
from clips_scene import write_clip
from small_data import make_table, png
from tonggan.data import scan as scanning
from tonggan.data.cache import DecodeCache, content_hash
from tonggan.data.scan import MediaColumn, MediaStatus, _read, read_media, scan_media
from tonggan.errors import DataError
from tonggan.modalities.audio import AudioConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.modalities.video import Video, VideoConfig
from tonggan.progress import Progress

CONFIG = ImageConfig(size=8)


class CountingImage(Image):
    """A real picture modality that counts what it decodes."""

    num_decoded = 0

    def decode(self, raw):
        self.num_decoded += 1
        return super().decode(raw)


def scan(
    folder: Path, cells: list, *, modality: Image | None = None, name: str = "train"
) -> tuple[MediaColumn, DecodeCache]:
    modality = modality or CONFIG.build()
    cache = DecodeCache(folder / "cache", modality)
    table = make_table(folder, {"picture": cells}, name=name, batch_size=3)
    return scan_media(table, "picture", modality, cache, progress=Progress(), workers=2), cache


def colors(column: MediaColumn, cache: DecodeCache) -> list:
    return [None if array is None else array[:, 0, 0].tolist() for array in cache.read(column.slots)]


def test_a_large_file_is_read_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "_LARGE", 1_000)
    video = VideoConfig(size=8, frames=2, draws=1).build()
    noise = list(np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), dtype=np.uint8))
    path = write_clip(tmp_path / "large.mkv", noise)
    sources = []
    monkeypatch.setattr(video, "open", lambda source: sources.append(source) or Video.open(video, source))
    column, cache = scan(tmp_path, [path.name, path.name, None], modality=video)
    assert sources == [path]
    assert column.slots.tolist() == [0, 0, -1]
    assert cache.find([content_hash(path.read_bytes())]) == {content_hash(path.read_bytes()): 0}


def test_absent_missing_and_unreadable_are_told_apart(tmp_path):
    (tmp_path / "red.png").write_bytes(png(255, 0, 0))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    cells = ["red.png", None, "", "  ", "gone.png", "red.png/inner", "empty.png", "text.png", "folder.png", "a\0b"]
    column, cache = scan(tmp_path, cells)
    absent, missing, unreadable = MediaStatus.ABSENT, MediaStatus.MISSING, MediaStatus.UNREADABLE
    expected = [MediaStatus.PRESENT, absent, absent, absent, missing, missing, *[unreadable] * 4]
    assert column.status.tolist() == expected
    assert column.slots.tolist() == [0] + [-1] * 9
    assert column.count(unreadable) == 4
    assert column.rows(missing).tolist() == [4, 5]
    assert sorted(column.problems) == [6, 7, 8, 9]
    assert column.problems[6] == "a file of 0 bytes"
    assert column.problems[8] == "not a regular file"
    assert colors(column, cache)[:2] == [[255, 0, 0], None]


def test_paths_of_windows_are_read(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(png(255, 0, 0))
    (tmp_path / "odd\\name.png").write_bytes(png(7, 0, 0))  # a name of its own where a backslash separates nothing
    column, cache = scan(tmp_path, ["photos\\a.png", "photos/a.png", "odd\\name.png", "photos\\gone.png"])
    assert column.status.tolist() == [MediaStatus.PRESENT] * 3 + [MediaStatus.MISSING]
    assert colors(column, cache)[:3] == [[255, 0, 0], [255, 0, 0], [7, 0, 0]]
    assert read_media("photos\\a.png", base=tmp_path) == png(255, 0, 0)


def test_embedded_pictures_and_paths_inside_a_struct(tmp_path):
    (tmp_path / "blue.png").write_bytes(png(0, 0, 255))
    cells = [
        {"bytes": png(1, 2, 3), "path": "a.png"},
        {"bytes": None, "path": "blue.png"},
        {"bytes": None, "path": str(tmp_path / "blue.png")},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"", "path": "a.png"},
        {"bytes": png(1, 2, 3), "path": "b.png"},
    ]
    column, cache = scan(tmp_path, cells)
    assert colors(column, cache) == [[1, 2, 3], [0, 0, 255], [0, 0, 255], None, None, None, [1, 2, 3]]
    assert column.status[5] == MediaStatus.UNREADABLE
    assert column.slots[0] == column.slots[6]


def test_plain_bytes(tmp_path):
    column, cache = scan(tmp_path, [png(9, 9, 9), None])
    assert colors(column, cache) == [[9, 9, 9], None]


def test_a_cell_that_is_neither_path_nor_bytes(tmp_path):
    with pytest.raises(DataError, match=r"column 'picture' of train: got 7 in row 1.*Declare the column"):
        scan(tmp_path, [7, 8])


def test_equal_content_is_decoded_once_under_any_name(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(5, 5, 5))
    modality = CountingImage(CONFIG)
    first, _ = scan(tmp_path, ["a.png", "b.png", "a.png"] * 5, modality=modality)
    second, _ = scan(tmp_path, [png(5, 5, 5)], modality=modality, name="embedded")
    assert modality.num_decoded == 1
    assert set(first.slots.tolist()) == set(second.slots.tolist()) == {0}


def test_a_file_that_looks_unchanged_is_read_by_its_content(tmp_path):
    path = tmp_path / "a.png"
    times = (1_700_000_000_000_000_000,) * 2
    seen = []
    for value in (5, 6, 7):  # one size, one name, one inode, one time of modification, within one tick of the clock
        path.write_bytes(png(value, value, value))
        os.utime(path, ns=times)
        seen += colors(*scan(tmp_path, ["a.png"]))
    assert seen == [[5, 5, 5], [6, 6, 6], [7, 7, 7]]
    other = tmp_path / "b.png"
    other.write_bytes(png(8, 8, 8))
    os.utime(other, ns=times)
    other.replace(path)
    assert colors(*scan(tmp_path, ["a.png"])) == [[8, 8, 8]]


def test_files_that_settled_are_not_read_again(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("tonggan.data.scan._read", lambda path: [read.append(path), _read(path)][1])
    monkeypatch.setattr("tonggan.data.cache._SETTLED", 20_000_000)
    path = tmp_path / "a.png"
    path.write_bytes(png(5, 5, 5))
    (tmp_path / "bad.png").write_bytes(b"bad")
    time.sleep(0.05)
    before, _ = scan(tmp_path, ["a.png", "bad.png"])
    again, cache = scan(tmp_path, ["a.png", "bad.png"])
    assert len(read) == 2
    assert colors(again, cache) == [[5, 5, 5], None]
    assert again.problems == before.problems
    status = path.stat()
    path.write_bytes(bytes(len(png(5, 5, 5))))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    time.sleep(0.05)
    changed, _ = scan(tmp_path, ["a.png"])
    assert changed.status.tolist() == [MediaStatus.UNREADABLE]
    assert len(read) == 3


def test_progress_is_told_of_every_row(tmp_path):
    told = []

    class Recorder(Progress):
        def update(self, label, *, done, total, note=""):  # noqa: ARG002
            told.append((label, done, total))

    table = make_table(tmp_path, {"picture": [None] * 7}, batch_size=3)
    modality = CONFIG.build()
    scan_media(table, "picture", modality, DecodeCache(tmp_path, modality), progress=Recorder())
    assert told == [("reading picture", done, 7) for done in (3, 6, 7)]


SCANNER = """
import sys
from pathlib import Path
from tonggan.data import scan
from tonggan.data.cache import DecodeCache
from tonggan.data.table import Table
from tonggan.modalities.image import ImageConfig
from tonggan.progress import Progress

scan._BYTES_PER_COMMIT = 1
folder = Path(sys.argv[1])
table = Table(folder / "train.arrow", base=folder, source="train", fingerprint="")
modality = ImageConfig(size=8).build()
column = scan.scan_media(table, "picture", modality, DecodeCache(folder / "cache", modality), progress=Progress())
print(column.slots.tolist())
"""


@pytest.fixture
def many(tmp_path):
    """A table of 1,500 pictures, each of its own color."""
    names = []
    for number in range(1500):
        names.append(f"{number}.png")
        (tmp_path / names[-1]).write_bytes(png(number % 256, number // 256, 7))
    return make_table(tmp_path, {"picture": names})


def start_scanner(folder: Path) -> forked.Process:
    return forked.Process([sys.executable, "-c", SCANNER, str(folder)])


def check_many(table, cache: DecodeCache) -> CountingImage:
    modality = CountingImage(CONFIG)
    column = scan_media(table, "picture", modality, cache, progress=Progress())
    assert colors(column, cache) == [[number % 256, number // 256, 7] for number in range(1500)]
    assert len(cache) == 1500
    return modality


def test_a_kill_during_a_scan_leaves_a_usable_cache(tmp_path, many):
    cache = DecodeCache(tmp_path / "cache", CONFIG.build())
    with start_scanner(tmp_path) as process:
        limit = time.monotonic() + 60
        while len(cache) < 100 and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.001)
            cache.find([])
        process.send_signal(signal.SIGKILL)
    assert 100 <= len(cache) < 1500, "the scanner was not killed in the middle"
    known = len(DecodeCache(tmp_path / "cache", CONFIG.build()))
    assert check_many(many, cache).num_decoded == 1500 - known


def test_two_scans_at_once_are_both_right(tmp_path, many):
    with start_scanner(tmp_path) as one, start_scanner(tmp_path) as other:
        slots = [np.array(json.loads(process.stdout.read())) for process in (one, other)]
    assert np.array_equal(*slots)
    assert check_many(many, DecodeCache(tmp_path / "cache", CONFIG.build())).num_decoded == 0


def test_a_cache_that_was_removed_is_filled_again(tmp_path):
    (tmp_path / "a.png").write_bytes(png(5, 5, 5))
    scan(tmp_path, ["a.png"])
    shutil.rmtree(tmp_path / "cache")
    column, cache = scan(tmp_path, ["a.png"])
    assert colors(column, cache) == [[5, 5, 5]]


def test_pictures_keep_the_extent_that_they_had(tmp_path):
    sideways = PIL.Image.Exif()
    sideways[0x0112] = 6
    PIL.Image.new("RGB", (40, 20)).save(tmp_path / "sideways.jpg", exif=sideways)
    PIL.Image.new("RGB", (40, 20)).save(tmp_path / "wide.png")
    (tmp_path / "text.png").write_text("not a picture")
    cells = ["sideways.jpg", "wide.png", "text.png", None, "gone.png", "sideways.jpg"]
    expected = [[40, 20], [20, 40], [0, 0], [0, 0], [0, 0], [40, 20]]
    for column in (scan(tmp_path, cells)[0], scan(tmp_path, cells)[0]):
        assert column.extents.tolist() == expected


def test_recordings_have_no_extent(tmp_path):
    audio = AudioConfig().build()
    table = make_table(tmp_path, {"sound": [None, None]})
    column = scan_media(table, "sound", audio, DecodeCache(tmp_path / "cache", audio), progress=Progress())
    assert column.extents is None

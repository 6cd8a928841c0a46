"""The decode cache: content addressing, growth, damage, kills and other processes."""

import signal
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import forked
from tonggan.data.cache import DecodeCache, content_hash
from tonggan.errors import CacheError
from tonggan.modalities.audio import AudioConfig
from tonggan.modalities.image import ImageConfig

MODALITY = ImageConfig(size=8).build()


def picture(value: int) -> np.ndarray:
    return np.full((3, 8, 8), value, dtype=np.uint8)


def key(value: int) -> bytes:
    return content_hash(value.to_bytes(8, "little"))


def test_what_is_put_is_read(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    slots = cache.put({key(1): picture(1), key(2): "truncated", key(3): picture(3)})
    assert slots == {key(1): 0, key(2): 1, key(3): 2}
    one, nothing, three = cache.read(np.array([2, -1, 0]))
    assert np.array_equal(one, picture(3))
    assert nothing is None
    assert np.array_equal(three, picture(1))
    assert [cache.problem(slot) for slot in range(3)] == [None, "truncated", None]
    assert not one.flags.writeable


def test_equal_content_is_kept_once(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(1): picture(1)})
    assert cache.put({key(1): picture(1), key(2): picture(2)}) == {key(1): 0, key(2): 1}
    assert len(cache) == 2
    assert sum(path.stat().st_size for path in cache.folder.glob("data-*")) == 2 * 3 * 8 * 8


def test_it_is_found_again_by_content_and_by_file(tmp_path):
    DecodeCache(tmp_path, MODALITY).put({key(1): picture(1)}, files={b"stamp": key(1)})
    cache = DecodeCache(tmp_path, MODALITY)
    assert cache.find([key(1), key(9)]) == {key(1): 0}
    assert cache.find_files([b"stamp", b"other"]) == {b"stamp": 0}
    assert np.array_equal(cache.read(np.array([0]))[0], picture(1))


def test_other_settings_are_another_cache(tmp_path):
    DecodeCache(tmp_path, MODALITY).put({key(1): picture(1)})
    assert len(DecodeCache(tmp_path, ImageConfig(size=16).build())) == 0


def test_recordings_of_different_lengths(tmp_path):
    sounds = [np.arange(length, dtype=np.int16) for length in (5, 1, 9)]
    cache = DecodeCache(tmp_path, AudioConfig().build())
    cache.put({key(index): sound for index, sound in enumerate(sounds)})
    for found, sound in zip(cache.read(np.array([0, 1, 2])), sounds, strict=True):
        assert np.array_equal(found, sound)


def test_an_empty_cache_reads_nothing(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    assert cache.read(np.array([-1, -1])) == [None, None]
    assert cache.extents(np.array([-1, -1])).tolist() == [[0, 0], [0, 0]]


def test_extents_of_pictures_are_kept(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(1): picture(1), key(2): "truncated"}, extents={key(1): (480, 640)})
    cache.put({key(1): picture(1), key(3): picture(3)}, extents={key(1): (1, 1), key(3): (30, 20)})
    cache.put({key(4): picture(4)})
    expected = [[30, 20], [0, 0], [480, 640], [0, 0], [0, 0], [480, 640]]
    slots = np.array([2, -1, 0, 1, 3, 0])
    for each in (cache, DecodeCache(tmp_path, MODALITY)):
        assert each.extents(slots).tolist() == expected
        assert each.extents(np.array([], dtype=np.int64)).shape == (0, 2)


def test_extents_that_another_process_has_put_are_known(tmp_path):
    one, other = DecodeCache(tmp_path, MODALITY), DecodeCache(tmp_path, MODALITY)
    other.put({key(2): picture(2)}, extents={key(2): (3, 4)})
    assert one.find([key(2)]) == {key(2): 0}
    assert one.extents(np.array([0])).tolist() == [[3, 4]]


def test_a_cache_from_before_there_were_extents_starts_anew(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(1): picture(1)}, extents={key(1): (480, 640)})
    with closing(sqlite3.connect(cache.folder / "index.sqlite")) as connection:
        connection.executescript(
            "ALTER TABLE contents DROP COLUMN height; ALTER TABLE contents DROP COLUMN width; PRAGMA user_version = 1;"
        )
    anew = DecodeCache(tmp_path, MODALITY)
    assert len(anew) == 0
    anew.put({key(1): picture(1)}, extents={key(1): (480, 640)})
    assert anew.extents(np.array([0])).tolist() == [[480, 640]]


def test_another_process_adds_while_this_one_is_open(tmp_path):
    one, other = DecodeCache(tmp_path, MODALITY), DecodeCache(tmp_path, MODALITY)
    one.put({key(1): picture(1)})
    other.put({key(2): picture(2), key(1): picture(1)})
    assert one.find([key(2)]) == {key(2): 1}
    assert np.array_equal(one.read(np.array([1]))[0], picture(2))


def test_bytes_that_a_killed_process_left_are_overwritten(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(1): picture(1)})
    (data,) = cache.folder.glob("data-*")
    with data.open("ab") as file:
        file.write(b"half a picture")
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(2): picture(2)})
    assert [int(array.mean()) for array in cache.read(np.array([0, 1]))] == [1, 2]


@pytest.mark.parametrize("damage", ["index", "index_tail", "data", "no_data"])
def test_a_damaged_cache_starts_anew(tmp_path, damage):
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(value): picture(value) for value in range(200)})
    (data,) = cache.folder.glob("data-*")
    index = cache.folder / "index.sqlite"
    if damage == "index":
        index.write_bytes(b"this is no database" * 100)
    elif damage == "index_tail":
        index.write_bytes(index.read_bytes()[:8192])
    elif damage == "data":
        data.write_bytes(data.read_bytes()[:100])
    else:
        data.unlink()
    anew = DecodeCache(tmp_path, MODALITY)
    assert len(anew) == 0
    anew.put({key(7): picture(7)})
    assert np.array_equal(anew.read(np.array([0]))[0], picture(7))
    with pytest.raises(CacheError, match="begun anew"):
        cache.find([key(1)])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "full").write_text("")  # the name of a file tells nothing of the disk
    with pytest.raises(CacheError, match="Set TONGGAN_CACHE to another folder"):
        DecodeCache(tmp_path / "full", MODALITY)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_loses_nothing(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)
    cache.put({key(1): picture(1)})
    (data,) = cache.folder.glob("data-*")
    kept = data.rename(tmp_path / "kept")
    data.symlink_to("/dev/full")
    with pytest.raises(CacheError, match="Free some space, or set TONGGAN_CACHE to another folder"):
        cache.put({key(2): picture(2)})
    data.unlink()
    kept.rename(data)
    cache = DecodeCache(tmp_path, MODALITY)
    assert cache.find([key(1), key(2)]) == {key(1): 0}


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tonggan.data.cache import DecodeCache, content_hash
from tonggan.modalities.image import ImageConfig

cache = DecodeCache(Path(sys.argv[1]), ImageConfig(size=8).build())
for value in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.put({content_hash(value.to_bytes(8, "little")): np.full((3, 8, 8), value % 256, dtype=np.uint8)})
    print(value, flush=True)
"""


def start_writer(folder: Path, first: int, last: int) -> forked.Process:
    return forked.Process([sys.executable, "-c", WRITER, str(folder), str(first), str(last)])


def check_all(cache: DecodeCache, values: list[int]) -> None:
    slots = cache.find([key(value) for value in values])
    assert len(slots) == len(values)
    found = cache.read(np.array([slots[key(value)] for value in values]))
    for value, array in zip(values, found, strict=True):
        assert np.array_equal(array, picture(value % 256))


def test_a_kill_leaves_all_that_was_put(tmp_path):
    with start_writer(tmp_path, 0, 100_000) as process:
        done = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        done += [int(line) for line in process.stdout.read().split()]
    cache = DecodeCache(tmp_path, MODALITY)
    check_all(cache, done)
    cache.put({key(10**6): picture(3)})
    assert len(cache) in (len(done) + 1, len(done) + 2)


def test_two_processes_at_once_are_both_right(tmp_path):
    with start_writer(tmp_path, 0, 40) as one, start_writer(tmp_path, 20, 60) as other:
        assert one.wait() == 0
        assert other.wait() == 0
    cache = DecodeCache(tmp_path, MODALITY)
    assert len(cache) == 60
    check_all(cache, list(range(60)))


def test_several_threads_put_and_read(tmp_path):
    cache = DecodeCache(tmp_path, MODALITY)

    def work(first: int) -> bool:
        values = range(first, first + 30)
        slots = {}
        for value in values:
            slots |= cache.put({key(value): picture(value)})
        found = cache.read(np.array([slots[key(value)] for value in values]))
        return all((array == value).all() for value, array in zip(values, found, strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, [0, 15, 30, 45]))
    assert len(cache) == 75


def test_a_batch_of_pictures_takes_about_a_millisecond(tmp_path):
    cache = DecodeCache(tmp_path, ImageConfig(size=64).build())
    generator = np.random.default_rng(0)
    cache.put({key(value): generator.integers(0, 256, (3, 64, 64), dtype=np.uint8) for value in range(512)})
    slots = generator.permutation(512)[:256]
    times = []
    for _ in range(20):
        start = time.process_time()
        np.stack(cache.read(slots))
        times.append(time.process_time() - start)
    assert min(times) < 0.05

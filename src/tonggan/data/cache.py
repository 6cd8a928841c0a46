"""The decode-once cache: the arrays of decoded pictures and recordings, memory-mapped, keyed by content and settings.

One folder per modality and settings holds a data file, which is one long array ``[total, ...]`` that is only ever
appended to, and an SQLite index. An entry is a slice of the data file along its first axis, or the reason why its
bytes cannot be decoded. Entries are found by the hash of the encoded bytes, so the same picture in ten rows, in two
tables, or under two names is decoded and kept once.

Appends hold a file lock and reach the disk before the index names them: a killed process leaves at most unnamed bytes
at the end, which the next append overwrites, and two processes never write the same place. Cached entries are never
deleted; remove the folder to free the space. It does not read files or decode (``scan.py`` does).
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from tonggan.errors import CacheError

_FORMAT = 2
_SCHEMA = """
CREATE TABLE contents (
    slot INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, start INTEGER NOT NULL, length INTEGER NOT NULL, problem TEXT,
    height INTEGER NOT NULL, width INTEGER NOT NULL
);
CREATE TABLE files (stamp BLOB PRIMARY KEY, slot INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE layout (data TEXT NOT NULL, dtype TEXT, trailing TEXT);
"""
_QUERY_SIZE = 4096
_SETTLED = 2_000_000_000  # nanoseconds; FAT has the coarsest clock of all
_UNDECODABLE = -1  # the start of an entry without an array


def content_digest() -> hashlib.blake2b:
    """What gives the ``content_hash`` of bytes that come part by part."""
    return hashlib.blake2b(digest_size=16)


def content_hash(raw: bytes) -> bytes:
    """The 16 bytes that name the content ``raw`` (BLAKE2b)."""
    return hashlib.blake2b(raw, digest_size=16).digest()


def file_stamp(path: str, status: os.stat_result) -> bytes | None:
    """The 16 bytes that name a file in one state; None where its status cannot vouch for its content.

    A program can set size and time of modification as it likes, but not the time of the last change to the inode, which
    the system sets at every write. A change within one tick of its clock shows no difference, so a file that has just
    changed has no stamp (as in Git's index, "racy Git"); nor has one under Windows, where that time is the creation's.
    """
    if os.name == "nt" or time.time_ns() - status.st_ctime_ns < _SETTLED:
        return None
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.blake2b(f"{path}\0{state}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


class Cached(Protocol):
    """What decodes something whose arrays are kept."""

    def cache_key(self) -> str:
        """The settings that change what is decoded, as a short file-name-safe string."""
        ...


class DecodeCache:
    """What ``modality.decode`` returned for each content seen so far.

    A *slot* is the number of an entry; equal content has the equal slot in every table that uses the same settings.
    All methods are safe to call from several threads.

    Args:
        folder: where all caches live; this one gets a folder in it, named by ``modality.cache_key()``.
        modality: whose arrays are kept. Its arrays may differ in their first dimension only.

    Raises:
        CacheError: the folder cannot be created, read or written. A damaged index is no error: the cache starts anew.
    """

    def __init__(self, folder: Path, modality: Cached) -> None:
        self.folder = folder / modality.cache_key()
        self._index = self.folder / "index.sqlite"
        self._lock = FileLock(self.folder / "lock", poll_interval=0.005)
        self._growing = threading.Lock()
        self._starts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._lengths: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._extents: NDArray[np.int64] = np.empty((0, 2), dtype=np.int64)
        self._array: NDArray[Any] = np.empty(0)
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._data = self._open()
        with self._connected() as connection:
            self._refresh(connection)

    def __len__(self) -> int:
        """Number of entries, the undecodable ones included."""
        return len(self._starts)

    def find(self, hashes: Iterable[bytes]) -> dict[bytes, int]:
        """The slots of those of ``hashes`` that are known."""
        with self._connected() as connection:
            found = _select(connection, "SELECT hash, slot FROM contents WHERE hash IN ({})", hashes)
            self._refresh(connection)
        return found

    def find_files(self, stamps: Iterable[bytes]) -> dict[bytes, int]:
        """The slots of those files, named by their ``file_stamp``, that have not changed since they were put."""
        with self._connected() as connection:
            found = _select(connection, "SELECT stamp, slot FROM files WHERE stamp IN ({})", stamps)
            self._refresh(connection)
        return found

    def put(
        self,
        entries: Mapping[bytes, NDArray[Any] | str],
        *,
        files: Mapping[bytes, bytes] | None = None,
        extents: Mapping[bytes, tuple[int, int]] | None = None,
    ) -> dict[bytes, int]:
        """Add ``entries``, by content hash an array or the reason why there is none; known ones are left as they are.

        Args:
            entries: what to add.
            files: by file stamp the content hash of that file, of ``entries`` or known before.
            extents: height and width of pictures of ``entries`` before they were fitted.

        Returns:
            The slot of each content hash in ``entries`` and ``files``.
        """
        files = files or {}
        with self._explained(), self._lock, self._connected() as connection:
            hashes = {*entries, *files.values()}
            slots = _select(connection, "SELECT hash, slot FROM contents WHERE hash IN ({})", hashes)
            new = {key: value for key, value in entries.items() if key not in slots}
            slots |= self._append(connection, new, extents or {})
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?)", [(stamp, slots[key]) for stamp, key in files.items()]
            )
            connection.commit()
            self._refresh(connection)
        return slots

    def problem(self, slot: int) -> str | None:
        """Why the content in ``slot`` cannot be decoded; None where it can."""
        if self._starts[slot] != _UNDECODABLE:
            return None
        with self._connected() as connection:
            row = connection.execute("SELECT problem FROM contents WHERE slot = ?", (slot,)).fetchone()
        return str(row[0])

    def lengths(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """How long the arrays in ``slots`` are along their first dimension; 0 for a negative slot."""
        return np.where(slots >= 0, self._lengths[slots], 0) if len(self._lengths) else np.zeros_like(slots)

    def extents(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """``[N, 2]``: height and width of the pictures in ``slots`` before they were fitted; 0 where there are none."""
        found = np.zeros((len(slots), 2), dtype=np.int64)
        there = slots >= 0
        found[there] = self._extents[slots[there]]
        return found

    def read(self, slots: NDArray[np.int64]) -> list[NDArray[Any] | None]:
        """The arrays in ``slots``, read-only views of the mapped file; None for a negative slot."""
        if not (slots >= 0).any():
            return [None] * len(slots)
        data, starts, ends = self._array, self._starts[slots], self._starts[slots] + self._lengths[slots]
        bounds = zip(slots.tolist(), starts.tolist(), ends.tolist(), strict=True)
        return [data[start:end] if slot >= 0 else None for slot, start, end in bounds]

    def _append(
        self,
        connection: sqlite3.Connection,
        entries: Mapping[bytes, NDArray[Any] | str],
        extents: Mapping[bytes, tuple[int, int]],
    ) -> dict[bytes, int]:
        """Write ``entries`` behind the last named one; the caller holds the lock and commits."""
        if not entries:
            return {}
        arrays = [value for value in entries.values() if not isinstance(value, str)]
        if arrays:
            self._fix_layout(connection, arrays[0])
        (slot,) = connection.execute("SELECT COUNT(*) FROM contents").fetchone()
        start = _end(connection)
        self._write(arrays, start=start)
        rows: list[tuple[int, bytes, int, int, str | None, int, int]] = []
        for key, value in entries.items():
            if isinstance(value, str):
                rows.append((slot + len(rows), key, _UNDECODABLE, 0, value, 0, 0))
            else:
                rows.append((slot + len(rows), key, start, len(value), None, *extents.get(key, (0, 0))))
                start += len(value)
        connection.executemany("INSERT INTO contents VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return {row[1]: row[0] for row in rows}

    def _write(self, arrays: Sequence[NDArray[Any]], *, start: int) -> None:
        """Put ``arrays`` into the data file from item ``start`` on, and wait until the disk has them."""
        if not arrays:
            return
        layout = {(array.dtype, array.shape[1:]) for array in arrays}
        assert len(layout) == 1, f"arrays of one modality differ in more than their first dimension: {layout}"
        with (self.folder / self._data).open("r+b") as file:
            file.seek(start * arrays[0].itemsize * int(np.prod(arrays[0].shape[1:])))
            for array in arrays:
                file.write(np.ascontiguousarray(array).data)
            file.flush()
            os.fsync(file.fileno())

    def _fix_layout(self, connection: sqlite3.Connection, array: NDArray[Any]) -> None:
        """Remember the type and shape of all arrays when the first one comes."""
        trailing = ",".join(str(size) for size in array.shape[1:])
        dtype, known = connection.execute("SELECT dtype, trailing FROM layout").fetchone()
        if dtype is None:
            connection.execute("UPDATE layout SET dtype = ?, trailing = ?", (array.dtype.str, trailing))
        else:
            assert (dtype, known) == (array.dtype.str, trailing), f"{array.dtype} {array.shape} in {self.folder}"

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Learn of entries that this or another process has added, and map the data file as far as they reach."""
        with self._growing:
            query = "SELECT start, length, height, width FROM contents WHERE slot >= ? ORDER BY slot"
            rows = connection.execute(query, (len(self._starts),))
            added = np.fromiter(rows, dtype=[(name, np.int64) for name in ("start", "length", "height", "width")])
            if not len(added):
                return
            if (added["start"] >= 0).any():
                dtype, trailing = connection.execute("SELECT dtype, trailing FROM layout").fetchone()
                shape = tuple(int(size) for size in trailing.split(",") if size)
                self._array = _map(self.folder / self._data, np.dtype(dtype), (_end(connection), *shape))
            self._starts = np.concatenate([self._starts, added["start"]])
            self._lengths = np.concatenate([self._lengths, added["length"]])
            self._extents = np.concatenate([self._extents, np.stack([added["height"], added["width"]], axis=1)])

    def _open(self) -> str:
        """Name of the data file; a new cache is begun where there is none, or a damaged one."""
        if self._index.exists():
            name = _check(self._index)
            if name is not None:
                return name
            for path in self.folder.glob("data-*.bin"):
                path.unlink()
            for path in self.folder.glob("index.sqlite*"):
                path.unlink()
        name = f"data-{uuid.uuid4().hex[:8]}.bin"
        (self.folder / name).touch()
        with closing(sqlite3.connect(self._index)) as connection:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT;")
            connection.execute("INSERT INTO layout VALUES (?, NULL, NULL)", (name,))
            connection.commit()
        return name

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one operation: cheap, and safe with threads, forks and a folder that is cleaned up."""
        with self._explained(), closing(sqlite3.connect(self._index, timeout=60)) as connection:
            (name,) = connection.execute("SELECT data FROM layout").fetchone()
            if name != self._data:
                raise CacheError(
                    f"cache {self.folder}",
                    got="a cache that another process has begun anew",
                    expected="the one that was opened",
                    remedy="Run again",
                )
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the operating system and of SQLite into one that names the remedy."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            # A text of the operating system's names a path, which may be called anything.
            full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else "full" in str(error)
            raise CacheError(
                f"cache {self.folder}",
                got=str(error),
                expected="free space on the disk" if full else "a folder that can be read and written",
                remedy="Free some space, or set TONGGAN_CACHE to another folder"
                if full
                else "Set TONGGAN_CACHE to another folder",
            ) from error


def _select(connection: sqlite3.Connection, query: str, keys: Iterable[bytes]) -> dict[bytes, int]:
    """The (key, slot) rows of ``query`` for ``keys``, some thousands at a time."""
    wanted = list(keys)
    found: dict[bytes, int] = {}
    for first in range(0, len(wanted), _QUERY_SIZE):
        part = wanted[first : first + _QUERY_SIZE]
        found.update(connection.execute(query.format(",".join("?" * len(part))), part))
    return found


def _end(connection: sqlite3.Connection) -> int:
    """Number of items in the data file that the index names."""
    query = "SELECT start + length FROM contents WHERE start >= 0 ORDER BY slot DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The first items of a file as a read-only array."""
    count = int(np.prod(shape))
    if not count:
        return np.empty(shape, dtype=dtype)
    with path.open("rb") as file:
        # A plain array on the map: slicing np.memmap itself costs some microseconds each time.
        mapped = mmap.mmap(file.fileno(), count * dtype.itemsize, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype=dtype).reshape(shape)


def _check(index: Path) -> str | None:
    """Name of the data file of a sound cache; None where the index is damaged, outdated, or the data is too short."""
    try:
        with closing(sqlite3.connect(index, timeout=60)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if version != _FORMAT or state != "ok":
                return None
            name, dtype, trailing = connection.execute("SELECT data, dtype, trailing FROM layout").fetchone()
            items = _end(connection)
    except sqlite3.OperationalError:
        raise  # No permission, or no room: the cache itself may be sound.
    except (sqlite3.DatabaseError, TypeError):
        return None
    data = index.parent / name
    sizes = [int(size) for size in (trailing or "").split(",") if size]
    needed = items * np.dtype(dtype).itemsize * int(np.prod(sizes)) if items else 0
    return str(name) if data.exists() and data.stat().st_size >= needed else None

"""One pass over a column of pictures or recordings: read, hash, decode into the cache, and say what each row has.

Absent (the cell is empty), missing (the cell names a file that is not there), unreadable (the bytes cannot be decoded)
and empty (a sound file has none of what is read, as a silent clip) are different things here and everywhere after. No
row is dropped and none gets a made-up value.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tonggan.data.cache import DecodeCache, content_digest, content_hash, file_stamp
from tonggan.data.table import Table, spread
from tonggan.errors import DataError, UnreadableError
from tonggan.files import path_here
from tonggan.modalities.base import Decoded, Encoded, MediaModality, bytes_of
from tonggan.progress import Progress

_PATHS_PER_BATCH = 2048
_PATHS_PER_TASK = 256
_EMBEDDED_PER_BATCH = 512  # the encoded bytes of these are in memory at once
_CONTENTS_PER_CHUNK = 64  # so are the encoded bytes of these files
_BYTES_PER_COMMIT = 64_000_000  # decoded, in memory until then, and lost by a kill
_LARGE = 32_000_000  # bytes of a file that is read where it lies, not as a whole
_HASHED_AT_ONCE = 1 << 20
_NO_STAMP = b""
_LOOKED_AT = 256
_ItemT = TypeVar("_ItemT")


class MediaStatus(IntEnum):
    """What a row has in a media column."""

    PRESENT = 0
    ABSENT = 1
    MISSING = 2
    UNREADABLE = 3
    EMPTY = 4


@dataclass(frozen=True)
class MediaColumn:
    """What a scan found, by row of the table.

    Attributes:
        slots: int64 ``[N]``, the place in the cache; -1 where the row has nothing that can be decoded. Rows with
            the same content have the same slot.
        status: uint8 ``[N]``, a ``MediaStatus``.
        problems: by row, why it is ``UNREADABLE``.
        lengths: int64 ``[N]``, how long the decoded array is along its first dimension; 0 where there is none.
        extents: int64 ``[N, 2]``, height and width of each picture before it was fitted, 0 where there is none; None
            where the column holds no pictures.
        odd: what a person should know of single files, as ``MediaModality.oddities`` names it, with the rows, of up to
            256 that were looked at, where that is so.
    """

    slots: NDArray[np.int64]
    status: NDArray[np.uint8]
    problems: Mapping[int, str]
    lengths: NDArray[np.int64] | None = None
    extents: NDArray[np.int64] | None = None
    odd: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.slots)

    def count(self, status: MediaStatus) -> int:
        """Number of rows with ``status``."""
        return int((self.status == status).sum())

    @property
    def num_absent(self) -> int:
        """Number of rows with nothing, and with nothing that is wrong."""
        return self.count(MediaStatus.ABSENT) + self.count(MediaStatus.EMPTY)

    def rows(self, status: MediaStatus) -> NDArray[np.int64]:
        """The rows with ``status``."""
        return np.flatnonzero(self.status == status)


def scan_media(
    table: Table,
    name: str,
    modality: MediaModality[Any],
    cache: DecodeCache,
    *,
    progress: Progress,
    workers: int | None = None,
) -> MediaColumn:
    """Bring the column ``name`` of ``table`` into ``cache``.

    A cell is a path (relative to ``table.base``, or absolute), encoded bytes, ``{bytes, path}``, or empty. Files
    that have not changed since an earlier scan are not read again, and equal content is decoded once.

    Args:
        table: where the column is.
        name: the column.
        modality: decodes the bytes.
        cache: where the arrays go; it must be of the same ``modality``.
        progress: is told of the rows done.
        workers: threads that read and decode; as many as processors by default.

    Raises:
        DataError: a cell is neither path nor bytes.
        CacheError: the cache cannot be written.
    """
    paths_only = pa.types.is_string(table.column_type(name)) or pa.types.is_large_string(table.column_type(name))
    batch_size = _PATHS_PER_BATCH if paths_only else _EMBEDDED_PER_BATCH
    first = 0
    numbers = table.row_numbers
    with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="scan") as pool:
        scan = _Scan(modality, cache, pool, num_rows=len(table))
        for values in table.iterate(name, batch_size=batch_size):
            files, contents = _sort_cells(
                values, first, base=table.base, numbers=numbers, who=f"column '{name}' of {table.source}"
            )
            scan.add_files(files)
            scan.add_contents(contents)
            first += len(values)
            progress.update(f"reading {name}", done=first, total=len(table))
    odd = _odd(scan.slots, cache, modality)
    if modality.empty is not None and (scan.status == MediaStatus.EMPTY).any():
        odd[modality.empty] = np.flatnonzero(scan.status == MediaStatus.EMPTY).tolist()
    extents = cache.extents(scan.slots) if modality.has_extent else None
    return MediaColumn(scan.slots, scan.status, scan.problems, cache.lengths(scan.slots), extents, odd)


def find_media(cell: Any, *, base: Path) -> Encoded | None:
    """What a cell holds: bytes, those of the file that it names, or its path if it is large; None of nothing."""
    content = _path_or_bytes(cell)
    if isinstance(content, str):
        try:
            path = base / path_here(content, base)
            if not content.strip() or not path.is_file():
                return None
            return path if path.stat().st_size > _LARGE else path.read_bytes()
        except (OSError, ValueError):  # ValueError: a null byte in the path
            return None
    return content if isinstance(content, bytes) else None


def read_media(cell: Any, *, base: Path) -> bytes | None:
    """The encoded bytes that a cell holds, or those of the file that it names; None where there are none to read."""
    found = find_media(cell, base=base)
    try:
        return None if found is None else bytes_of(found)
    except OSError:
        return None


def media_path(cell: Any) -> str:
    """What a media cell says of its file, without the bytes."""
    if isinstance(cell, Mapping):
        cell = cell.get("path")
    return "" if cell is None or isinstance(cell, bytes) else str(cell)


def _path_or_bytes(cell: Any) -> Any:
    """What a media cell says: of ``{bytes, path}`` the bytes where it has them."""
    if not isinstance(cell, Mapping):
        return cell
    embedded = cell.get("bytes")
    return cell.get("path") if embedded is None else embedded


def _odd(slots: NDArray[np.int64], cache: DecodeCache, modality: MediaModality[Any]) -> dict[str, list[int]]:
    """Oddities with their rows, of some spread over all that have something."""
    rows = np.flatnonzero(slots >= 0)
    rows = rows[spread(len(rows), _LOOKED_AT)]
    odd: dict[str, list[int]] = {}
    for row, array in zip(rows.tolist(), cache.read(slots[rows]), strict=True):
        for name in modality.oddities(array) if array is not None else ():
            odd.setdefault(name, []).append(row)
    return odd


def _sort_cells(
    values: Sequence[Any], first: int, *, base: Path, numbers: NDArray[np.int64], who: str
) -> tuple[dict[str, list[int]], list[tuple[int, bytes]]]:
    """Rows by the absolute path they name, and (row, bytes) of those that hold bytes; an empty cell is in neither."""
    files: dict[str, list[int]] = {}
    contents: list[tuple[int, bytes]] = []
    folder = str(base.absolute())
    for row, value in enumerate(values, first):
        value = _path_or_bytes(value)
        if isinstance(value, str):
            if value.strip():
                path = os.path.join(folder, path_here(value, folder))  # noqa: PTH118 - pathlib is 10 times slower
                files.setdefault(path, []).append(row)
        elif isinstance(value, bytes):
            contents.append((row, value))
        elif value is not None:
            raise DataError(
                who,
                got=f"{value!r} in row {numbers[row]}",
                expected="a path, or encoded bytes",
                remedy="Declare the column as another kind",
            )
    return files, contents


class _Scan:
    """The state of one pass: what the rows so far have, and what is decoded but not yet in the cache."""

    def __init__(
        self, modality: MediaModality[Any], cache: DecodeCache, pool: ThreadPoolExecutor, *, num_rows: int
    ) -> None:
        self.modality = modality
        self.cache = cache
        self.pool = pool
        self.slots: NDArray[np.int64] = np.full(num_rows, -1, dtype=np.int64)
        self.status: NDArray[np.uint8] = np.full(num_rows, MediaStatus.ABSENT, dtype=np.uint8)
        self.problems: dict[int, str] = {}
        self._entries: dict[bytes, NDArray[Any] | str] = {}
        self._extents: dict[bytes, tuple[int, int]] = {}
        self._files: dict[bytes, bytes] = {}
        self._waiting: list[tuple[bytes, list[int]]] = []
        self._slots: dict[bytes, int] = {}
        self._num_bytes = 0

    def add_contents(self, contents: Sequence[tuple[int, bytes]]) -> None:
        """Take rows whose cells hold encoded bytes."""
        keys = self.pool.map(content_hash, [raw for _, raw in contents])
        hashed: list[tuple[bytes, Encoded, list[int]]] = [
            (key, raw, [row]) for key, (row, raw) in zip(keys, contents, strict=True)
        ]
        for chunk in _chunks(hashed, _CONTENTS_PER_CHUNK):
            self._take(chunk)
        self._commit()

    def add_files(self, files: Mapping[str, list[int]]) -> None:
        """Take rows whose cells name files, by absolute path."""
        parts = list(_chunks(list(files), _PATHS_PER_TASK))
        stamps = {path: stamp for part in self.pool.map(_stamp_all, parts) for path, stamp in part}
        known = self.cache.find_files(stamp for stamp in stamps.values() if isinstance(stamp, bytes))
        changed: list[tuple[str, bytes]] = []  # or without a stamp, so that only the content can tell
        for path, stamp in stamps.items():
            if not isinstance(stamp, bytes):
                self._reject(files[path], stamp)
            elif stamp in known:
                self._assign(files[path], known[stamp])
            else:
                changed.append((path, stamp))
        for chunk in _chunks(changed, _CONTENTS_PER_CHUNK):
            hashed: list[tuple[bytes, Encoded, list[int]]] = []
            for (path, stamp), content in zip(chunk, self.pool.map(_read, [path for path, _ in chunk]), strict=True):
                if isinstance(content, tuple):
                    hashed.append((*content, files[path]))
                    if stamp != _NO_STAMP:
                        self._files[stamp] = content[0]
                else:
                    self._reject(files[path], content)
            self._take(hashed)
        self._commit()

    def _take(self, hashed: Sequence[tuple[bytes, Encoded, list[int]]]) -> None:
        """Decode the new ones of (content hash, encoded file, rows)."""
        raws = {key: raw for key, raw, _ in hashed if key not in self._entries}
        self._slots.update(self.cache.find(raws))
        new = [key for key in raws if key not in self._slots]
        for key, opened in zip(new, self.pool.map(self._decode, [raws[key] for key in new]), strict=True):
            self._entries[key] = opened if isinstance(opened, str) else opened.array
            if not isinstance(opened, str) and opened.extent is not None:
                self._extents[key] = opened.extent
        self._waiting.extend((key, rows) for key, _, rows in hashed)
        self._num_bytes += sum(getattr(self._entries[key], "nbytes", 0) for key in new)
        if self._num_bytes >= _BYTES_PER_COMMIT:
            self._commit()

    def _decode(self, source: Encoded) -> Decoded | str:
        """What is in a file, or why there is nothing."""
        try:
            return self.modality.open(source)
        except UnreadableError as error:
            return error.got

    def _commit(self) -> None:
        """Put what is decoded into the cache, and tell the waiting rows their slots."""
        if not self._waiting:
            return
        self._slots.update(self.cache.put(self._entries, files=self._files, extents=self._extents))
        for key, rows in self._waiting:
            self._assign(rows, self._slots[key])
        self._entries, self._extents, self._files = {}, {}, {}
        self._waiting, self._slots, self._num_bytes = [], {}, 0

    def _assign(self, rows: list[int], slot: int) -> None:
        problem = self.cache.problem(slot)
        if problem is not None and problem == self.modality.empty:
            self.status[rows] = MediaStatus.EMPTY
            return
        if problem is not None:
            self._reject(rows, problem)
            return
        self.slots[rows] = slot
        self.status[rows] = MediaStatus.PRESENT

    def _reject(self, rows: list[int], problem: str | None) -> None:
        """Rows whose file is not there (None), or cannot be read or decoded (why)."""
        self.status[rows] = MediaStatus.MISSING if problem is None else MediaStatus.UNREADABLE
        if problem is not None:
            self.problems.update(dict.fromkeys(rows, problem))


def _stamp_all(paths: Sequence[str]) -> list[tuple[str, bytes | str | None]]:
    """Each path with its file's stamp; with None where there is no file, or with the reason why it cannot be read."""
    return [(path, _stamp(path)) for path in paths]


def _stamp(path: str) -> bytes | str | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path.
        return _reason(error)
    return file_stamp(path, status) or _NO_STAMP if stat.S_ISREG(status.st_mode) else "not a regular file"


def _read(path: str) -> tuple[bytes, Encoded] | str | None:
    """Content hash and bytes of a file, or its path if it is large; else what ``_stamp`` would say."""
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size > _LARGE:
                digest = content_digest()
                while part := file.read(_HASHED_AT_ONCE):
                    digest.update(part)
                return digest.digest(), Path(path)
            raw = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        return _reason(error)
    return content_hash(raw), raw


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _chunks(items: Sequence[_ItemT], size: int) -> Iterator[Sequence[_ItemT]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]

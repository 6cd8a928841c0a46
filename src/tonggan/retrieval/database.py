"""The SQLite file that holds all that a store knows, and the lock that lets one process write to it.

It knows tables and transactions; what the derived indexes hold it does not know.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from tonggan.errors import CacheError, StoreBusyError
from tonggan.stored import Record, named

FORMAT = 1  # also in the schema
_MOST_SECONDS = 60.0  # to wait for another process

# Ids are never used twice, so that an index that lags behind cannot mistake one row for another. `generation` counts
# commits: what an index lacks since its own generation are the rows of later ones and the ids in `deleted`. The text
# comes last, so that filters need not read past it.
_SCHEMA = """
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('generation', '0'), ('log_starts', '0');
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, content_hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, "group" TEXT NOT NULL, generation INTEGER NOT NULL,
    fields TEXT NOT NULL, text_hash BLOB, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rows_group ON rows ("group");
CREATE INDEX IF NOT EXISTS rows_text_hash ON rows (text_hash);
CREATE INDEX IF NOT EXISTS rows_generation ON rows (generation);
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS vectors_generation ON vectors (generation);
CREATE TABLE IF NOT EXISTS deleted (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
PRAGMA user_version = 1;
COMMIT;
"""


def connect(folder: Path) -> sqlite3.Connection:
    """A connection to the database in ``folder``, which is created where it is missing.

    Transactions are explicit. A commit survives the death of the process; a power failure may take the last commits
    with it but leaves the database whole.

    Raises:
        CacheError: the folder cannot be written, or holds no such database, or one of a newer format.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            folder / "store.sqlite",
            timeout=_MOST_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                _create(connection)
            elif version != FORMAT:
                raise CacheError(
                    f"store {folder}",
                    got=f"format {version}",
                    expected=f"format {FORMAT}",
                    remedy="Update Tonggan, or delete the folder and index again",
                )
            connection.executescript("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;")
        except BaseException:
            connection.close()
            raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables; SQLite itself does not wait for others where it changes the kind of journal."""
    end = time.monotonic() + _MOST_SECONDS
    while True:
        try:
            connection.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns what SQLite and the file system raise into a CacheError."""
    try:
        yield
    except (OSError, sqlite3.Error, json.JSONDecodeError):
        with reading(folder):
            raise


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns whatever reading what the files of a store hold raises into a CacheError."""
    with named(
        f"store {folder}",
        expected="a folder that can be written, with a sound database",
        remedy="Check the disk's space and rights; if the database is damaged, delete the folder and index again",
        kind=CacheError,
    ):
        yield


def checked(found: list[tuple[Any, ...]], *types: Any) -> list[tuple[Any, ...]]:
    """``found`` if its columns are of these types: SQLite gives what a damaged page says."""
    for row in found:
        if not all(map(isinstance, row, types)):
            raise TypeError(f"a row of {', '.join(type(value).__name__ for value in row)}")
    return found


@contextmanager
def transaction(connection: sqlite3.Connection, *, writes: bool = True) -> Iterator[None]:
    """All statements of the block see one state of the database, and take effect together or not at all."""
    connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


class _Words(Record):
    name: str = Field(pattern="^words-[0-9]+$")
    stamp: str
    generation: int
    files: dict[str, list[int] | None]


class _Vectors(Record):
    name: str = Field(pattern=r"^vectors-[0-9]+\.faiss$")
    generation: int
    file: list[int] | None
    probes: int = Field(ge=1)
    learned_from: int


_META: dict[str, TypeAdapter[Any]] = {
    "generation": TypeAdapter(int),
    "log_starts": TypeAdapter(int),
    "words": TypeAdapter(_Words | None),
    "vectors": TypeAdapter(_Vectors | None),
    "vectors_stamp": TypeAdapter(str | None),
}


def read_meta(connection: sqlite3.Connection, name: str) -> Any:
    """The value kept under ``name``, or None.

    Raises:
        sqlite3.DatabaseError: it is not what is kept there.
    """
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    try:
        value = json.loads(found[0]) if found else None
        _META[name].validate_python(value, strict=True)
    except (ValueError, TypeError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"'{name}' of the table meta is not as it was written") from error
    return value


def write_meta(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """Keep ``value``, which JSON can hold, under ``name``."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Only one process, and in it one thread, is in the block; the system frees the lock when its holder dies.

    Raises:
        StoreBusyError: another holds it; the error names its process.
    """
    with explained(folder):
        descriptor = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise StoreBusyError(
                f"store {folder}",
                got=f"process {holder} writing to it",
                expected="no other writer",
                remedy=f"Wait until process {holder} is done, or end it",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def next_name(folder: Path, stem: str, *, suffix: str = "") -> str:
    """A name ``stem-NUMBER`` that no file of ``folder`` has had since the last one that is there."""
    numbers = [path.name.removeprefix(f"{stem}-").split(".")[0] for path in folder.glob(f"{stem}-*")]
    return f"{stem}-{1 + max((int(number) for number in numbers if number.isdigit()), default=0)}{suffix}"


def file_state(path: Path) -> list[int] | None:
    """What differs once a file has been written to: its size and time; None where there is no file."""
    if not path.is_file():
        return None
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]

"""What every reader hands over: where a table comes from, a hash of its content, and its rows as a stream.

It reads no format itself and stores nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tonggan.data.findings import Finding
from tonggan.errors import DataError

# Part of every fingerprint: raise it when the same input would be stored in another way.
_FORMAT = "tonggan-table-4"
_BLOCK_BYTES = 1 << 20

# In the metadata of a stored column: what its texts were to the reader.
STORED_AS = b"tonggan.stored_as"

# How much a record batch may hold: few enough bytes for a small machine, enough rows for quick random access.
BATCH_ROWS = 32_768
BATCH_BYTES = 1 << 25


@dataclass(frozen=True)
class TableSource:
    """A table that is opened but not yet stored.

    Args:
        name: what the user called it, for messages.
        base: the folder that relative paths in it start at.
        fingerprint: a hash of the content and of how it is read.
        read: gives the schema and the stream of record batches.
        findings: what a person should know of how it was read, complete when the stream has ended.
    """

    name: str
    base: Path
    fingerprint: str
    read: Callable[[], tuple[pa.Schema, Iterable[pa.RecordBatch]]]
    findings: Callable[[], Sequence[Finding]] = field(default=tuple)


def fingerprint_of(parts: Iterable[bytes], *, kind: str) -> str:
    """32 hexadecimal digits of the hash of ``parts``, different for each ``kind`` of reader."""
    digest = hashlib.sha256(f"{_FORMAT}:{kind}:".encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]


def blocks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file in pieces of 1 MiB.

    Raises:
        DataError: the file cannot be read.
    """
    with reading(path), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's failure to read ``path`` into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"file {path}",
            got=error.strerror or str(error),
            expected="a readable file",
            remedy="Check the path and its permissions",
        ) from error


def check_names(names: Sequence[str], *, who: str) -> None:
    """Check the columns' names.

    Raises:
        DataError: there is no column, or two have the same name.
    """
    if not names:
        raise DataError(who, got="no columns", expected="at least one", remedy="Check that this is the right file")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            who,
            got=f"several columns named {', '.join(repr(name) for name in twice)}",
            expected="a different name for each column",
            remedy="Rename or remove the repeated columns",
        )


def rows_per_batch(num_bytes: int, num_rows: int) -> int:
    """How many rows of a table of this size make a record batch within both limits."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES * num_rows // max(num_bytes, 1)))

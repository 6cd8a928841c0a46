"""Vectors as they follow the database: an index on disk of most of them, and the few of later commits in memory.

So a new row costs nothing but itself until enough have gathered to be folded into the index. Searches by vector always
see the last commit, whatever state the file is in: without a file, all vectors are the few.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import CacheError
from tonggan.files import whole_file
from tonggan.retrieval.database import checked, file_state, next_name, read_meta, reading, transaction, write_meta
from tonggan.retrieval.settings import StoreSettings
from tonggan.retrieval.vector_index import EXACT_ROWS, Ids, VectorIndex, Vectors

_FEW = 2_000  # rows that may wait in memory, and one more for each 50 rows in the index
_MANY = 100_000  # that are folded while more are still to come
_PIECE = 20_000  # vectors that are read at once


class LiveVectors:
    """What searches by vector see: ``refresh`` follows the database, ``search`` finds."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._generation = -1
        self._name: str | None = None
        self._index: VectorIndex | None = None
        self._clear()

    def _clear(self) -> None:
        self._outdated: Ids = np.empty(0, np.int64)  # ids in the index that are deleted or have another vector
        self._ids: Ids = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, self._settings.dim or 0), np.float32)

    def refresh(self, connection: sqlite3.Connection) -> None:
        """See the last commit. The caller is in a transaction.

        Raises:
            CacheError: the vectors are of another version.
        """
        stamp = read_meta(connection, "vectors_stamp")
        if stamp not in (None, self._settings.vectors_stamp):
            raise CacheError(
                f"store {self._settings.folder}",
                got=f"vectors of '{stamp}'",
                expected=f"'{self._settings.vectors_stamp}'",
                remedy="Open the store again, when nobody else writes to it",
            )
        state = read_meta(connection, "vectors")
        name = state["name"] if state else None
        if name != self._name or self._generation < read_meta(connection, "log_starts"):
            self._clear()
            self._index = _opened(state, connection, self._settings)
            self._name = name
            self._generation = state["generation"] if state and self._index else 0
        since, self._generation = self._generation, read_meta(connection, "generation")
        ids, vectors = _read_vectors(connection, self._settings, since=since)
        deleted = connection.execute("SELECT id FROM deleted WHERE generation > ?", (since,)).fetchall()
        changed = np.concatenate([np.array(deleted, np.int64).reshape(-1), ids])
        if len(changed):
            self._outdated = np.union1d(self._outdated, changed)
            kept = np.isin(self._ids, changed, invert=True)
            self._ids = np.concatenate([self._ids[kept], ids])
            self._vectors = np.concatenate([self._vectors[kept], vectors.astype(np.float32)])

    def search(self, vector: Vectors, *, limit: int, allowed: Ids | None, exact: bool) -> tuple[Ids, Vectors]:
        """The ids nearest to ``vector [D]`` and their inner products, best first; among ``allowed`` where given."""
        ids, scores = np.empty(0, np.int64), np.empty(0, np.float32)
        if self._index is not None:
            ids, scores = self._index.search(vector, limit=limit, allowed=allowed, excluded=self._outdated, exact=exact)
        if len(self._ids):
            chosen = slice(None) if allowed is None else np.isin(self._ids, allowed)
            ids = np.concatenate([ids, self._ids[chosen]])
            scores = np.concatenate([scores, self._vectors[chosen] @ vector])
            order = np.argsort(-scores, kind="stable")[:limit]
            ids, scores = ids[order], scores[order]
        return ids, scores


def vectors_are_current(connection: sqlite3.Connection, settings: StoreSettings) -> bool:
    """Whether ``update_vectors`` would do nothing."""
    if read_meta(connection, "vectors_stamp") not in (None, settings.vectors_stamp):
        return False
    state = read_meta(connection, "vectors")
    return not _must_fold(state if _is_sound(state, connection, settings) else None, connection)


def update_vectors(connection: sqlite3.Connection, settings: StoreSettings, *, more_to_come: bool = False) -> None:
    """Forget vectors of another version; fold those that wait into the index, or build it anew if it is unsound.

    The caller holds the writer's lock.

    Args:
        connection: to the store.
        settings: of the store.
        more_to_come: whether the writer goes on; then only very many are folded, so that no reader need hold them.
    """
    if read_meta(connection, "vectors_stamp") != settings.vectors_stamp:
        with transaction(connection):
            connection.execute("DELETE FROM vectors")
            connection.execute("DELETE FROM meta WHERE name = 'vectors'")
            write_meta(connection, "vectors_stamp", settings.vectors_stamp)
    state = read_meta(connection, "vectors")
    state = state if _is_sound(state, connection, settings) else None
    if not _must_fold(state, connection, more_to_come=more_to_come):
        return
    generation = read_meta(connection, "generation")
    (total,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
    index, learned_from = _folded(state, connection, settings, total=total)
    path = settings.folder / next_name(settings.folder, "vectors", suffix=".faiss")
    with whole_file(path) as partial:
        index.write(partial)
    with transaction(connection):
        record = {"name": path.name, "generation": generation, "file": file_state(path), "probes": index.probes}
        write_meta(connection, "vectors", {**record, "learned_from": learned_from})
    for other in settings.folder.glob("vectors-*"):
        if other != path:
            other.unlink(missing_ok=True)  # A reader may still have it mapped; what is mapped stays readable.


def _must_fold(state: Mapping[str, Any] | None, connection: sqlite3.Connection, *, more_to_come: bool = False) -> bool:
    since = state["generation"] if state else 0
    (total,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
    (waiting,) = connection.execute("SELECT count(*) FROM vectors WHERE generation > ?", (since,)).fetchone()
    if state:
        (deleted,) = connection.execute("SELECT count(*) FROM deleted WHERE generation > ?", (since,)).fetchone()
        waiting += deleted
    return bool(waiting > (max(_MANY, total // 4) if more_to_come else _FEW + total // 50))


def _folded(
    state: Mapping[str, Any] | None, connection: sqlite3.Connection, settings: StoreSettings, *, total: int
) -> tuple[VectorIndex, int]:
    """An index of all vectors, and from how many its cells were learned: learned anew when these have doubled."""
    learned_from = state["learned_from"] if state else 0
    both_exact = max(learned_from, total) <= EXACT_ROWS
    fits = both_exact or (min(learned_from, total) > EXACT_ROWS and learned_from / 2 < total <= 2 * learned_from)
    index = _opened(state, connection, settings, writable=True) if state and fits else None
    if index is None:
        settings.progress.say(f"Building the index of {total:,} vectors")
        return VectorIndex.build(lambda: _pieces(connection, settings, since=0)), total
    since = state["generation"] if state else 0
    changed = connection.execute(
        "SELECT id FROM deleted WHERE generation > ? UNION SELECT id FROM vectors WHERE generation > ?", (since, since)
    )
    index.remove(np.fromiter((row for (row,) in changed), np.int64))
    for ids, vectors in _pieces(connection, settings, since=since):
        index.add(ids, vectors)
    return index, learned_from


def _read_vectors(
    connection: sqlite3.Connection, settings: StoreSettings, *, since: int
) -> tuple[Ids, NDArray[np.float16]]:
    pieces = list(_pieces(connection, settings, since=since))
    nothing = (np.empty(0, np.int64), np.empty((0, settings.dim or 0), np.float16))
    ids, vectors = zip(nothing, *pieces, strict=True)
    return np.concatenate(ids), np.concatenate(vectors)


def _pieces(
    connection: sqlite3.Connection, settings: StoreSettings, *, since: int
) -> Iterator[tuple[Ids, NDArray[np.float16]]]:
    """The vectors of commits after ``since``, a bounded number at a time."""
    # An index by generation would lead from row to row through all of the file.
    after, parameters = ("WHERE generation > ?", (since,)) if since else ("", ())
    found = connection.execute(f"SELECT id, vector FROM vectors {after}", parameters)  # noqa: S608
    while piece := found.fetchmany(_PIECE):
        with reading(settings.folder):
            checked(piece, int, bytes)
            vectors = np.frombuffer(b"".join(vector for _, vector in piece), np.float16)
            yield np.array([row for row, _ in piece], np.int64), vectors.reshape(len(piece), settings.dim or 0)


def _opened(
    state: Mapping[str, Any] | None, connection: sqlite3.Connection, settings: StoreSettings, *, writable: bool = False
) -> VectorIndex | None:
    """The index on disk, or None where it cannot be used."""
    if state is None or not _is_sound(state, connection, settings):
        return None
    try:
        return VectorIndex.read(settings.folder / state["name"], probes=state["probes"], writable=writable)
    except RuntimeError:  # Damaged: searches go without it, and the next writer makes it anew.
        return None


def _is_sound(state: Mapping[str, Any] | None, connection: sqlite3.Connection, settings: StoreSettings) -> bool:
    if state is None or state["generation"] < read_meta(connection, "log_starts"):
        return False
    return bool(file_state(settings.folder / state["name"]) == state["file"])

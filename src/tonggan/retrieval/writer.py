"""Changes to a store, in commits that happen whole or not at all.

It does not make vectors; a row may come without one, and ``Store.keys_without_vector`` says which still lack it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.retrieval.database import explained, read_meta, transaction, write_meta
from tonggan.retrieval.live_vectors import update_vectors
from tonggan.retrieval.live_words import update_words
from tonggan.retrieval.row import Row, check_vector
from tonggan.retrieval.settings import StoreSettings

_BATCH = 1_000


class Writer:
    """The one writer of a store, as ``Store.writing`` hands it out.

    Its methods raise CacheError where the disk is full or the database is damaged; the last commit stays.
    """

    def __init__(self, connection: sqlite3.Connection, settings: StoreSettings) -> None:
        self._connection = connection
        self._settings = settings
        # Vectors of rows deleted since the last commit, for rows of the same text that are put in their place.
        with explained(settings.folder):
            connection.execute("CREATE TEMP TABLE spare (text_hash BLOB PRIMARY KEY, vector BLOB NOT NULL)")
            # Here and not in the schema, which stores of before have without it.
            connection.execute(
                "CREATE TABLE IF NOT EXISTS token_sets"
                " (id INTEGER PRIMARY KEY, width INTEGER NOT NULL, tokens BLOB NOT NULL)"
            )
        self._generation = 0

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
            self._generation = read_meta(self._connection, "generation") + 1

    def put(self, rows: Iterable[Row]) -> None:
        """Insert ``rows``; each takes the place of the row of its key, and its content hash is its group's from now on.

        A row with a text but no vector takes the vector of a row of the same text, if one is stored or was deleted
        since the last commit, so that what stays the same in a changed file need not be embedded again.

        Raises:
            DataError: a row that cannot be stored; rows before it may have been put.
        """
        batch: dict[str, Row] = {}
        for row in rows:
            row.check(dim=self._settings.dim)
            batch[row.key] = row
            if len(batch) == _BATCH:
                self._put(batch)
                batch = {}
        if batch:
            self._put(batch)

    def _put(self, batch: Mapping[str, Row]) -> None:
        rows = list(batch.values())
        self._delete("SELECT id FROM rows WHERE key IN (SELECT value FROM json_each(?))", json.dumps(list(batch)))
        with explained(self._settings.folder):
            self._begin()
            execute = self._connection.executemany
            execute(
                "INSERT OR REPLACE INTO groups VALUES (?, ?)", {row.group: row.content_hash for row in rows}.items()
            )
            execute(
                'INSERT INTO rows (key, "group", text, text_hash, fields, generation) VALUES (?, ?, ?, ?, ?, ?)',
                (
                    (row.key, row.group, row.text, hash_of(row.text), json.dumps(dict(row.fields)), self._generation)
                    for row in rows
                ),
            )
            execute(
                "INSERT INTO vectors SELECT id, ?, ? FROM rows WHERE key = ?",
                ((self._generation, _encoded(row.vector), row.key) for row in rows if row.vector is not None),
            )
            execute(
                "INSERT INTO token_sets SELECT id, ?, ? FROM rows WHERE key = ?",
                ((row.tokens.shape[1], _encoded(row.tokens), row.key) for row in rows if row.tokens is not None),
            )
            if self._settings.dim is not None:
                execute(
                    """INSERT INTO vectors SELECT id, ?, vector FROM (SELECT id, coalesce(
                        (SELECT vector FROM temp.spare WHERE text_hash = new.text_hash),
                        (SELECT vector FROM rows JOIN vectors USING (id) WHERE text_hash = new.text_hash LIMIT 1)
                    ) AS vector FROM rows AS new WHERE key = ?) WHERE vector IS NOT NULL""",
                    ((self._generation, row.key) for row in rows if row.vector is None and row.text),
                )

    def set_vectors(self, vectors: Mapping[str, NDArray[np.floating[Any]]]) -> None:
        """Give the rows of these keys their vectors ``[D]``; a key that is not stored is passed over.

        Raises:
            DataError: a vector of another shape, or one that is not finite in half precision.
        """
        for key, vector in vectors.items():
            check_vector(vector, who=f"row '{key}'", dim=self._settings.dim)
        with explained(self._settings.folder):
            self._begin()
            self._connection.executemany(
                "INSERT OR REPLACE INTO vectors SELECT id, ?, ? FROM rows WHERE key = ?",
                ((self._generation, _encoded(vector), key) for key, vector in vectors.items()),
            )

    def keep_group(self, group: str, *, content_hash: str) -> None:
        """Say that the rows of ``group``, which may have none, are right for this content hash."""
        with explained(self._settings.folder):
            self._begin()
            self._connection.execute("INSERT OR REPLACE INTO groups VALUES (?, ?)", (group, content_hash))

    def delete_group(self, group: str) -> None:
        """Forget all rows of ``group``; a group that is not stored is passed over."""
        self._delete('SELECT id FROM rows WHERE "group" = ?', group)
        with explained(self._settings.folder):
            self._connection.execute("DELETE FROM groups WHERE name = ?", (group,))

    def _delete(self, selection: str, parameter: str) -> None:
        with explained(self._settings.folder):
            self._begin()
            execute = self._connection.execute
            gone = execute(selection, (parameter,)).fetchall()
            for row in gone:
                execute(
                    "INSERT OR IGNORE INTO temp.spare SELECT text_hash, vector FROM rows JOIN vectors USING (id)"
                    " WHERE id = ? AND text_hash IS NOT NULL",
                    row,
                )
                execute("INSERT INTO deleted VALUES (?, ?)", (*row, self._generation))
                execute("DELETE FROM vectors WHERE id = ?", row)
                execute("DELETE FROM token_sets WHERE id = ?", row)
                execute("DELETE FROM rows WHERE id = ?", row)

    def commit(self) -> None:
        """Keep what was changed: readers see it from now on, and no crash takes it away.

        The index of words follows at once; should the process die between the two, the next one to open the store
        catches up.
        """
        if self._connection.in_transaction:
            with explained(self._settings.folder):
                write_meta(self._connection, "generation", self._generation)
                self._connection.execute("DELETE FROM temp.spare")
                self._connection.commit()
                if self._settings.analyze is not None:
                    update_words(self._connection, self._settings)
                if self._settings.dim is not None:
                    update_vectors(self._connection, self._settings, more_to_come=True)


def catch_up(connection: sqlite3.Connection, settings: StoreSettings) -> None:
    """Bring all indexes to the last commit, and forget deletions that all of them have seen.

    The caller holds the writer's lock.
    """
    with explained(settings.folder):
        if settings.analyze is not None:
            update_words(connection, settings)
        if settings.dim is not None:
            update_vectors(connection, settings)
        states = [read_meta(connection, name) for name in ("words", "vectors")]
        seen = min((state["generation"] for state in states if state), default=read_meta(connection, "generation"))
        if seen != read_meta(connection, "log_starts"):
            with transaction(connection):
                connection.execute("DELETE FROM deleted WHERE generation <= ?", (seen,))
                write_meta(connection, "log_starts", seen)


def hash_of(text: str) -> bytes | None:
    """What tells equal texts; None for the empty one."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest() if text else None


def _encoded(vector: NDArray[np.floating[Any]] | None) -> bytes | None:
    return None if vector is None else vector.astype(np.float16).tobytes()

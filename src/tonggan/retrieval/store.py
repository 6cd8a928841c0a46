"""An embedded store that finds rows by words, by vectors and by fields.

A SQLite database (WAL) in a folder is the only truth. What speeds up searches is derived from it and made again
whenever it is missing, damaged or of another version, so that a process may be killed at any moment. There is one
writer at a time and any number of readers, in this process or others; readers see the last commit and never wait for
the writer. It knows nothing of what the rows are, makes no vectors, merges no rankings (``fusion`` does), and is not
meant for folders on a network.

    store = Store.open(folder, analyze=analyze, dim=384, version="words-1 minilm")
    with store.writing() as writer:
        writer.put([Row("notes.txt:1", "notes.txt", "9f86d08", "the text", {"kind": "note"}, vector)])
    store.search_words("text", where={"kind": "note"})
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import DataError, StoreBusyError
from tonggan.progress import Progress
from tonggan.retrieval.database import checked, connect, explained, reading, transaction, writer_lock
from tonggan.retrieval.live_vectors import LiveVectors, vectors_are_current
from tonggan.retrieval.live_words import open_words, words_are_current
from tonggan.retrieval.row import Compared, Row, Where, check_vector, selection
from tonggan.retrieval.settings import StoreSettings
from tonggan.retrieval.vector_index import Ids, load_faiss
from tonggan.retrieval.word_index import WordIndex, load_tantivy
from tonggan.retrieval.writer import Writer, catch_up, hash_of

__all__ = ["Compared", "Row", "Store", "Where"]

_FILTERS_KEPT = 8


class Store:
    """A store that is open for reading; ``writing`` hands out its writer. Several threads may use it."""

    def __init__(self, settings: StoreSettings, connection: sqlite3.Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._lock = threading.RLock()
        self._words: WordIndex | None = None
        self._words_seen = self._vectors_seen = -1
        self._vectors = LiveVectors(settings)
        self._filters: dict[str, tuple[int, Ids]] = {}

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        analyze: Callable[[str], list[str]] | None,
        dim: int | None,
        version: str,
        vector_version: str | None = None,
        word_fields: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Store:
        """The store in ``folder``, which is created where it is missing. It takes milliseconds unless an index is made.

        Args:
            folder: on a local disk.
            analyze: text to tokens, for rows and queries alike; None for a store without words.
            dim: the length of vectors; None for a store that is used without them (those it holds are kept).
            version: names ``analyze`` and what makes the vectors. When it differs from the last one's, words are
                indexed again and all vectors are forgotten: ``keys_without_vector`` asks for them anew.
            vector_version: names what makes the vectors, so that ``version`` names ``analyze`` alone.
            word_fields: fields that are searched by words too, each with a weight of its own; not to filter by.
            progress: is told when an index is made.

        Raises:
            CacheError: the folder cannot be used, or its database is damaged or of a newer format.
            MissingExtraError: tantivy (for words) or faiss (for vectors) is not installed.
        """
        if analyze is not None:
            load_tantivy()
        if dim is not None:
            load_faiss()
        settings = StoreSettings(
            folder=folder,
            analyze=analyze,
            dim=dim,
            version=version,
            vector_version=version if vector_version is None else vector_version,
            word_fields=tuple(word_fields),
            progress=progress or Progress(),
        )
        store = cls(settings, connect(folder))
        try:
            store._repair()
        except BaseException:
            store.close()
            raise
        return store

    def _repair(self) -> None:
        with explained(self._settings.folder):
            current = self._settings.analyze is None or words_are_current(self._connection, self._settings)
            if self._settings.dim is not None:
                current = current and vectors_are_current(self._connection, self._settings)
        if current:
            return
        try:
            with writer_lock(self._settings.folder):
                catch_up(self._connection, self._settings)
        except StoreBusyError:
            return  # The other will bring the indexes up to date.

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """The one writer. Leaving the block commits; an exception takes back what was changed since the last commit.

        Raises:
            StoreBusyError: another process or thread is writing; it names the process.
            CacheError: the disk is full, or the database is damaged.
        """
        with writer_lock(self._settings.folder), closing(connect(self._settings.folder)) as connection:
            catch_up(connection, self._settings)
            writer = Writer(connection, self._settings)
            yield writer
            writer.commit()
            catch_up(connection, self._settings)

    def groups(self) -> dict[str, str]:
        """All groups and their content hashes."""
        return dict(self._query("SELECT name, content_hash FROM groups ORDER BY name", types=(str, str)))

    def count(self, where: Where | None = None) -> int:
        """The number of rows whose fields (or ``group``, ``key``) have the value, or one of several, in ``where``."""
        return int(self._query(*selection("count(*)", where), types=(int,))[0][0])

    def keys(self, where: Where | None = None) -> list[str]:
        """The keys of the rows that ``where`` chooses, in the order in which they were put."""
        return [key for _, key in sorted(self._query(*selection("id, key", where), types=(int, str)))]

    def keys_without_vector(self) -> list[str]:
        """The keys of the rows that still lack a vector, in the order in which they were put."""
        found = self._query("SELECT key FROM rows WHERE id NOT IN (SELECT id FROM vectors) ORDER BY id", types=(str,))
        return [key for (key,) in found]

    def rows(self, keys: Iterable[str]) -> list[Row]:
        """The rows of ``keys`` in their order; a key that is not stored is left out."""
        wanted = list(keys)
        found = self._query(
            """SELECT key, "group", content_hash, text, fields, vector, text_hash FROM rows
            JOIN groups ON groups.name = rows."group" LEFT JOIN vectors USING (id)
            WHERE key IN (SELECT value FROM json_each(?))""",
            [json.dumps(wanted)],
            types=(str, str, str, str, str, bytes | None, bytes | None),
        )
        with reading(self._settings.folder):
            rows = {key: _row(key, *columns) for key, *columns in found}
        return [rows[key] for key in wanted if key in rows]

    def token_sets(self, keys: Iterable[str]) -> dict[str, NDArray[np.float16]]:
        """The tokens ``[T, E]`` of the rows of ``keys``, by key; a row that was put without is left out."""
        found = self._query(
            """SELECT key, width, tokens FROM rows JOIN token_sets USING (id)
            WHERE key IN (SELECT value FROM json_each(?))""",
            [json.dumps(list(keys))],
            types=(str, int, bytes),
        )
        with reading(self._settings.folder):
            return {key: np.frombuffer(tokens, np.float16).reshape(-1, width) for key, width, tokens in found}

    def vectors_of(self, keys: Iterable[str] | None = None) -> tuple[list[str], NDArray[np.float32]]:
        """The keys that have a vector, of ``keys`` or of all, and their vectors ``[N, D]``; in no particular order."""
        if keys is None:
            found = self._query("SELECT key, vector FROM vectors JOIN rows USING (id)", types=(str, bytes))
        else:
            found = self._query(
                "SELECT key, vector FROM rows JOIN vectors USING (id) WHERE key IN (SELECT value FROM json_each(?))",
                [json.dumps(list(keys))],
                types=(str, bytes),
            )
        with reading(self._settings.folder):
            vectors = _decoded(b"".join(vector for _, vector in found)).reshape(len(found), self._settings.dim or 0)
        return [key for key, _ in found], vectors

    def search_words(
        self,
        query: str | Sequence[str],
        *,
        limit: int = 10,
        weights: Mapping[str, float] | None = None,
        where: Where | None = None,
    ) -> dict[str, float]:
        """Keys and scores (BM25) of the best rows that hold at least one word of ``query``, best first.

        Args:
            query: a text, which is analyzed, or tokens.
            limit: the number of rows at most.
            weights: of ``"text"`` and of each of the ``word_fields`` (see ``open``); all 1 where None.
            where: only rows that it chooses.

        Raises:
            DataError: the store was opened without ``analyze``, ``weights`` names something else, or ``where`` one of
                the ``word_fields``.
        """
        analyze = self._settings.analyze
        if analyze is None:
            raise DataError("a search by words", got="no 'analyze'", expected="one", remedy="Open the store with it")
        for name in set(where or ()) & set(self._settings.word_fields):
            raise DataError(
                f"a search by words where '{name}'",
                got="a field that is searched by words",
                expected="one to filter by",
                remedy="Put the value under another name too",
            )
        tokens = analyze(query) if isinstance(query, str) else query
        with self._lock:
            (seen,) = self._query("PRAGMA data_version", types=(int,))[0]
            if seen != self._words_seen or self._words is None:
                with explained(self._settings.folder):
                    self._words = open_words(self._connection, self._settings)
                self._words_seen = seen
            if self._words is None:
                return {}
            with reading(self._settings.folder):
                return self._keyed(*self._search_words(tokens, limit, weights, where or {}))

    def _search_words(
        self, tokens: Sequence[str], limit: int, weights: Mapping[str, float] | None, where: Where
    ) -> tuple[list[int], list[float]]:
        """Ids and scores; the index knows equal values alone, so further ones are asked for until enough compare."""
        assert self._words is not None
        equal = {name: wanted for name, wanted in where.items() if not isinstance(wanted, Compared)}
        compared = {name: wanted for name, wanted in where.items() if isinstance(wanted, Compared)}
        if not compared:
            return self._words.search(tokens, limit=limit, weights=weights, where=equal)
        allowed, wanted = set(self._allowed(compared).tolist()), limit
        while True:
            wanted = min(4 * wanted, len(self._words))
            ids, scores = self._words.search(tokens, limit=wanted, weights=weights, where=equal)
            found = [(row, score) for row, score in zip(ids, scores, strict=True) if row in allowed][:limit]
            if len(found) >= limit or len(ids) < wanted or wanted >= len(self._words):
                return [row for row, _ in found], [score for _, score in found]

    def search_vectors(
        self, vector: NDArray[np.float32], *, limit: int = 10, where: Where | None = None, exact: bool = False
    ) -> dict[str, float]:
        """Keys and inner products of the rows nearest to ``vector [D]``, best first.

        Of 20,000 rows or fewer, and of 2,000 that ``where`` chooses, all are compared. Of more, those that are likely
        to be near: of the ten nearest 99 % are found, unless ``exact`` compares all.

        Raises:
            DataError: the store was opened without ``dim``, or the vector has another shape or is not finite.
        """
        check_vector(vector, who="a search by vector", dim=self._settings.dim)
        with self._lock:
            (seen,) = self._query("PRAGMA data_version", types=(int,))[0]
            if seen != self._vectors_seen:
                with explained(self._settings.folder), transaction(self._connection, writes=False):
                    self._vectors.refresh(self._connection)
                self._vectors_seen = seen
            allowed = self._allowed(where) if where else None
            with reading(self._settings.folder):
                ids, scores = self._vectors.search(vector, limit=limit, allowed=allowed, exact=exact)
            return self._keyed(ids.tolist(), scores.tolist())

    def _allowed(self, where: Where) -> Ids:
        """Ids that ``where`` chooses; rows never change, so an earlier answer only lacks the later rows."""
        name = json.dumps({field: _plain(wanted) for field, wanted in where.items()})
        since, ids = self._filters.pop(name, (0, np.empty(0, np.int64)))
        statement, parameters = selection("id, generation", where, since=since)
        # As one text: a million rows as Python's objects take seconds.
        joined = f"SELECT group_concat(id), max(generation) FROM ({statement})"  # noqa: S608
        ((new, last),) = self._query(joined, parameters, types=(str | None, int | None))
        if new is not None:
            ids, since = np.concatenate([ids, np.fromstring(new, np.int64, sep=",")]), last
        self._filters[name] = (since, ids)
        if len(self._filters) > _FILTERS_KEPT:
            del self._filters[next(iter(self._filters))]
        return ids

    def _keyed(self, ids: Sequence[int], scores: Sequence[float]) -> dict[str, float]:
        """Ids as keys; those of rows deleted meanwhile are left out."""
        found = self._query(
            "SELECT id, key FROM rows WHERE id IN (SELECT value FROM json_each(?))", [json.dumps(ids)], types=(int, str)
        )
        keys = dict(found)
        return {keys[row]: score for row, score in zip(ids, scores, strict=True) if row in keys}

    def _query(self, statement: str, parameters: Sequence[Any] = (), *, types: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock, reading(self._settings.folder):
            return checked(self._connection.execute(statement, parameters).fetchall(), *types)

    def close(self) -> None:
        """Free the database; the store cannot be used any more."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _plain(wanted: Any) -> Any:
    if isinstance(wanted, Compared):
        return {"compared": [[each.operator, each.value] for each in wanted.each()]}
    return wanted if isinstance(wanted, str | int | float) else list(wanted)


def _row(
    key: str, group: str, content_hash: str, text: str, encoded: str, vector: bytes | None, text_hash: bytes | None
) -> Row:
    fields = json.loads(encoded)
    if not isinstance(fields, dict) or text_hash != hash_of(text):
        raise ValueError(f"row '{key[:80]}' is not as it was written")
    return Row(key, group, content_hash, text, fields, None if vector is None else _decoded(vector))


def _decoded(vector: bytes) -> NDArray[np.float32]:
    return np.frombuffer(vector, np.float16).astype(np.float32)

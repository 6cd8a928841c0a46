"""The index of words as it follows the database: opened where it is sound, caught up or rebuilt where it is not.

It holds no truth: the database says which folder is the index, up to which commit, and which files it then had.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from tonggan.errors import CacheError
from tonggan.retrieval.database import (
    checked,
    file_state,
    next_name,
    read_meta,
    reading,
    transaction,
    write_meta,
    writer_lock,
)
from tonggan.retrieval.row import Value
from tonggan.retrieval.settings import StoreSettings
from tonggan.retrieval.word_index import WordDocument, WordIndex


def words_are_current(connection: sqlite3.Connection, settings: StoreSettings) -> bool:
    """Whether nothing need be done before a search."""
    state = read_meta(connection, "words")
    generation = read_meta(connection, "generation")
    return bool(state) and state["generation"] == generation and _is_sound(state, connection, settings)


def open_words(connection: sqlite3.Connection, settings: StoreSettings) -> WordIndex | None:
    """The index for searches; None where none has been made yet.

    Raises:
        CacheError: it was made for another version, or is damaged and cannot be made anew.
    """
    state = read_meta(connection, "words")
    if state is None:
        return None
    if state["stamp"] != settings.words_stamp:
        raise CacheError(
            f"store {settings.folder}",
            got=f"words indexed as '{state['stamp']}'",
            expected=f"'{settings.words_stamp}'",
            remedy="Open the store again, when nobody else writes to it",
        )
    try:
        return WordIndex(settings.folder / state["name"], parts=settings.parts)
    except OSError as error:
        if read_meta(connection, "words")["name"] != state["name"]:
            return open_words(connection, settings)  # Another process has just made it anew.
        return _made_anew(connection, settings, error)


def _made_anew(connection: sqlite3.Connection, settings: StoreSettings, error: OSError) -> WordIndex:
    """The index, once more; what ``error`` tells of it could not be seen from outside."""
    with writer_lock(settings.folder):
        with transaction(connection):
            connection.execute("DELETE FROM meta WHERE name = 'words'")
        update_words(connection, settings)
    try:
        return WordIndex(settings.folder / read_meta(connection, "words")["name"], parts=settings.parts)
    except OSError:
        raise _unusable(settings, error) from error


def update_words(connection: sqlite3.Connection, settings: StoreSettings) -> None:
    """Bring the index to the last commit. The caller holds the writer's lock.

    The files are changed first and recorded afterwards: a crash between the two lets the next update do the same
    again, which changes nothing.
    """
    state = read_meta(connection, "words")
    generation = read_meta(connection, "generation")
    record = None
    if state and _is_sound(state, connection, settings):
        if state["generation"] == generation:
            return
        with suppress(OSError):  # Damaged after all: it is made anew.
            index = WordIndex(settings.folder / state["name"], parts=settings.parts)
            record = _updated(index, connection, settings, since=state["generation"])
    if record is None:
        folder = settings.folder / next_name(settings.folder, "words")
        try:
            index = WordIndex(folder, parts=settings.parts, new=True)
            record = _updated(index, connection, settings, since=0)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _unusable(settings, error) from error
    with transaction(connection):
        write_meta(connection, "words", {**record, "generation": generation})
    for folder in settings.folder.glob("words-*"):
        if folder.name != record["name"]:
            shutil.rmtree(folder, ignore_errors=True)  # A reader may still have it open; what is open stays readable.


def _updated(
    index: WordIndex, connection: sqlite3.Connection, settings: StoreSettings, *, since: int
) -> dict[str, Any]:
    """Give the index what it lacks since the commit ``since``, and say what it then is."""
    removed = connection.execute("SELECT id FROM deleted WHERE generation > ?", (since,))
    index.update(removed=(row for (row,) in removed), added=_documents(connection, settings, since=since))
    files = {path.name: file_state(path) for path in index.folder.iterdir()}
    return {"name": index.folder.name, "stamp": settings.words_stamp, "files": files}


def _is_sound(state: Mapping[str, Any], connection: sqlite3.Connection, settings: StoreSettings) -> bool:
    """Whether the index is of this version, not too old to catch up, and its files are as they were left.

    After a crash there may be newer files than the recorded ones. Those that were recorded must not have changed as
    long as the index refers to their segment; only a list of deleted rows may have given way to a newer one.
    """
    folder = settings.folder / state["name"]
    if state["stamp"] != settings.words_stamp or state["generation"] < read_meta(connection, "log_starts"):
        return False
    try:
        segments = json.loads((folder / "meta.json").read_text())["segments"]
        names = {segment["segment_id"].replace("-", "") for segment in segments}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all(
        file_state(folder / name) in ([recorded, None] if name.endswith(".del") else [recorded])
        for name, recorded in state["files"].items()
        if name.split(".")[0] in names
    )


def _documents(connection: sqlite3.Connection, settings: StoreSettings, *, since: int) -> Iterator[WordDocument]:
    analyze = settings.analyze
    assert analyze is not None
    (total,) = connection.execute("SELECT count(*) FROM rows WHERE generation > ?", (since,)).fetchone()
    found = connection.execute('SELECT id, key, "group", text, fields FROM rows WHERE generation > ?', (since,))
    for columns in settings.progress.track(found, label="words", total=total):
        with reading(settings.folder):
            ((row, key, group, text, encoded),) = checked([columns], int, str, str, str, str)
            fields: dict[str, Value] = dict(json.loads(encoded))
        tokens = {"text": analyze(text)}
        for name in settings.word_fields:
            tokens[name] = analyze(str(fields.pop(name, "")))
        yield WordDocument(row, tokens, {**fields, "key": key, "group": group})


def _unusable(settings: StoreSettings, error: Exception) -> CacheError:
    return CacheError(
        f"store {settings.folder}, index of words",
        got=str(error),
        expected="an index that can be read and written",
        remedy="Check the disk's space and rights, then open the store again",
    )

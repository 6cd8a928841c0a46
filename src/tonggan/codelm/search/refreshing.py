"""Brings an index to what the files are now: reads what changed, forgets what is gone, embeds what is new.

It writes through the store's one writer and commits often, so that a process killed on the way loses little.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tonggan.codelm.git import run_git
from tonggan.codelm.search.unit_rows import rows_of, text_to_embed
from tonggan.codelm.source_file import MAX_BYTES, SourceFile, read_source, why_skipped
from tonggan.codelm.units import commits_of, units_of
from tonggan.codelm.walk import walk
from tonggan.errors import DataError
from tonggan.grammars import language_of
from tonggan.layers.memory import release_memory
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress
from tonggan.retrieval.store import Store
from tonggan.retrieval.writer import Writer

_FORMAT = "units-4"  # of what is made of a file; another one reads all files anew
_SECONDS_BETWEEN_COMMITS = 5.0
_EMBEDDED_AT_ONCE = 256
_RACY_SECONDS = 0.1  # a file may change again within the resolution of its time
_COMMIT = "commit:"
_COMMITS = "commits"  # what is skipped where they cannot be read
_PASSING = ("vanished", "unreadable")  # reasons to skip a file that may end without a change of it


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        num_files: files of the repository that hold code or text.
        num_changed: of these, files that were read anew.
        num_deleted: files that are no longer there.
        num_embedded: units that got a vector.
        skipped: of the files that were looked into, those that could not be read, by name, with the reason; and what
            went past a limit: a ``.gitignore``, a call of git, the commits.
    """

    num_files: int
    num_changed: int
    num_deleted: int
    num_embedded: int
    skipped: Mapping[str, str]


@dataclass(frozen=True)
class _Found:
    """A file as the walk met it."""

    path: Path
    modified: int
    size: int

    def stamp(self, sha256: str) -> str:
        """What tells that the file is as it was; one that was only just written is looked at again."""
        settled = time.time_ns() - self.modified > _RACY_SECONDS * 1e9
        return f"{_FORMAT} {sha256} {self.size} {self.modified if settled else 'racy'}"

    def is_unchanged(self, stamp: str) -> bool:
        head, _, rest = stamp.partition(" ")
        return head == _FORMAT and rest.endswith(f" {self.size} {self.modified}")


class Refreshing:
    """One refresh of the index of ``root`` in ``store``."""

    def __init__(self, root: Path, store: Store, *, embedder: TextEmbedder | None, progress: Progress) -> None:
        self._root = root
        self._store = store
        self._embedder = embedder
        self._progress = progress
        self._skipped: dict[str, str] = {}
        self._stamps: dict[str, str] = {}
        self._committed = time.monotonic()

    def run(self, overlays: Mapping[str, str]) -> Refreshed:
        """See ``CodeIndex.refresh``."""
        files = self._files(overlays)
        changed, deleted = self._differences(files, overlays)
        commits = self._commits_changed()
        if not (changed or deleted or commits or self._lacks_vectors()):
            return Refreshed(len(files), 0, 0, 0, self._skipped)
        num_changed = num_embedded = 0
        with self._store.writing() as writer:
            changed, deleted = self._differences(files, overlays)  # another one may have written until now
            self._stamps = self._store.groups()
            for name in deleted:
                writer.delete_group(name)
            for name in self._progress.track(changed, label="index"):
                num_changed += self._read(writer, name, files[name], overlays.get(name))
                self._commit_sometimes(writer)
            if commits:
                self._read_commits(writer)
            writer.commit()
            num_embedded = self._embed(writer)
        return Refreshed(len(files), num_changed, len(deleted), num_embedded, self._skipped)

    def _files(self, overlays: Mapping[str, str]) -> dict[str, _Found]:
        """Files by their names; a file that exists only unsaved is one too."""
        files: dict[str, _Found] = {}
        left_out: dict[Path, str] = {}
        for path in walk(self._root, left_out=left_out):
            if language_of(path) is None:
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # it vanished
            files[self._name(path)] = _Found(path, status.st_mtime_ns, status.st_size)
        self._skipped |= {self._name(path): reason for path, reason in left_out.items()}
        for name in overlays:
            if language_of(name) is not None:
                files.setdefault(name, _Found(self._root / name, 0, 0))
        return files

    def _name(self, path: Path) -> str:
        return os.fsencode(path.relative_to(self._root)).decode("utf-8", "backslashreplace")

    def _differences(self, files: Mapping[str, _Found], overlays: Mapping[str, str]) -> tuple[list[str], list[str]]:
        known = {name: stamp for name, stamp in self._store.groups().items() if not name.startswith(_COMMIT)}
        changed = []
        for name, found in files.items():
            stamp = known.get(name, "")
            same = stamp == _overlay_stamp(overlays[name]) if name in overlays else found.is_unchanged(stamp)
            if not same:
                changed.append(name)
        return changed, [name for name in known if name not in files]

    def _read(self, writer: Writer, name: str, found: _Found, overlay: str | None) -> bool:
        """Put the units of one file in place of its former ones; False where there is nothing new to read."""
        if overlay is not None and len(overlay) > MAX_BYTES:  # as it is with files: data, or generated
            return self._skip(writer, name, "too large", stamp=_overlay_stamp(overlay))
        if overlay is not None:
            text = overlay.replace("\r\n", "\n")
            source = SourceFile(found.path, name, language_of(name), text, "", "\n")
            stamp = _overlay_stamp(overlay)
        else:
            read = read_source(found.path, root=self._root)
            if not isinstance(read, SourceFile):
                is_lasting = read.reason not in _PASSING
                reason = why_skipped(read.reason, read.detail)
                return self._skip(writer, name, reason, stamp=found.stamp("skipped") if is_lasting else None)
            source, stamp = read, found.stamp(read.sha256)
            if stamp.split()[:2] == self._stamps.get(name, "").split()[:2]:
                writer.keep_group(name, content_hash=stamp)  # only its time has changed
                return False
        try:
            rows = list(rows_of(units_of(source), group=name, content_hash=stamp))
        except DataError as error:
            return self._skip(writer, name, f"{error.who}: {error.got}", stamp=stamp)
        writer.delete_group(name)
        writer.put(rows)
        return True

    def _skip(self, writer: Writer, name: str, reason: str, *, stamp: str | None) -> Literal[False]:
        """Forget what is known of a file; with a ``stamp`` it is not looked into again until it changes."""
        self._skipped[name] = reason
        writer.delete_group(name)
        if stamp is not None:
            writer.keep_group(name, content_hash=stamp)
        return False

    def _commit_sometimes(self, writer: Writer) -> None:
        if time.monotonic() - self._committed > _SECONDS_BETWEEN_COMMITS:
            writer.commit()
            self._committed = time.monotonic()

    def _commits_changed(self) -> bool:
        try:
            head = run_git(self._root, "rev-parse", "--verify", "--quiet", "HEAD")
        except DataError as error:
            self._skipped[_COMMITS] = f"{error.who}: {error.got}"
            return False
        known = [name for name in self._store.groups() if name.startswith(_COMMIT)]
        return bool(known) if head is None else _COMMIT + head.decode().strip() not in known

    def _read_commits(self, writer: Writer) -> None:
        try:
            commits = {_COMMIT + unit.qualified_name: unit for unit in commits_of(self._root)}
        except DataError as error:
            self._skipped[_COMMITS] = f"{error.who}: {error.got}"
            return
        known = {name for name in self._store.groups() if name.startswith(_COMMIT)}
        for name in known - commits.keys():
            writer.delete_group(name)
        for name, unit in commits.items():
            if name not in known:
                writer.put(rows_of([unit], group=name, content_hash=_FORMAT))

    def _lacks_vectors(self) -> bool:
        return self._embedder is not None and bool(self._store.keys_without_vector())

    def _embed(self, writer: Writer) -> int:
        if self._embedder is None:
            return 0
        keys = self._store.keys_without_vector()
        done = 0
        for chunk in _chunks(keys):
            rows = self._store.rows(chunk)
            vectors = self._embedder.embed([text_to_embed(row) for row in rows], as_passages=True)
            writer.set_vectors(dict(zip((row.key for row in rows), vectors, strict=True)))
            writer.commit()
            release_memory()  # what the shapes of a chunk needed, the next one may not
            done += len(chunk)
            self._progress.update("embed", done=done, total=len(keys))
        return done


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(keys), _EMBEDDED_AT_ONCE):
        yield keys[first : first + _EMBEDDED_AT_ONCE]


def _overlay_stamp(text: str) -> str:
    return f"{_FORMAT} unsaved {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"

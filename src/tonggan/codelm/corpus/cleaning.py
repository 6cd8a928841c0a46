"""One file made fit to learn from, or the reason why it is left out; and many files in one saved part.

What depends on other files (duplicates) or on the vocabulary (tokens) comes later.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.corpus.decontaminate import Benchmarks
from tonggan.codelm.corpus.filters import why_dropped
from tonggan.codelm.corpus.licenses import FolderLicenses
from tonggan.codelm.corpus.near_duplicates import signature
from tonggan.codelm.corpus.secrets import redact
from tonggan.codelm.corpus.shingles import hash_words, words_of
from tonggan.codelm.source_file import Skipped, read_source
from tonggan.files import whole_file
from tonggan.grammars import language_of
from tonggan.stored import named

VERSION = 3
"""Raised whenever files are cleaned in another way, so that no part of an older build is taken for a new one."""

_EMPTY: NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)


@dataclass(frozen=True)
class Found:
    """A file as it was found.

    Attributes:
        repository: name of the repository.
        path: absolute.
        size: bytes.
        changed: when the file itself was last written, in nanoseconds since 1970: another time means another content.
        modified: when it was last changed according to git, else to the file itself, in seconds since 1970.
    """

    repository: str
    path: str
    size: int
    changed: int
    modified: int


@dataclass(frozen=True)
class Cleaned:
    """A file that is fit to learn from, or is left out.

    Attributes:
        repository: its name.
        name: of the file, relative to the repository.
        language: as ``language_of`` names it.
        license: SPDX identifier, or ``unknown``.
        modified: in seconds since 1970.
        sha256: of the file's bytes; empty where it was not read.
        size: bytes.
        text: without secrets; empty where the file is left out.
        dropped: why it is left out; empty where it is not.
        detail: more about that, for a person.
        secrets: kind and line of each that was replaced.
        signature: MinHash ``[256]``, or ``[0]`` for a text of very few words.
    """

    repository: str
    name: str
    language: str | None
    license: str
    modified: int
    size: int
    sha256: str = ""
    text: str = ""
    dropped: str = ""
    detail: str = ""
    secrets: tuple[tuple[str, int], ...] = ()
    signature: NDArray[np.uint32] = field(default_factory=_EMPTY.copy, compare=False)

    @property
    def key(self) -> str:
        """What the file is called in reports."""
        return f"{self.repository}/{self.name}"


@dataclass(frozen=True)
class Part:
    """Some files, cleaned together and saved as one file.

    Attributes:
        files: in order.
        folders: of each repository its folder and, of an installed package, its metadata.
        licenses: the licenses that are wanted; None for all.
        against: as ``Benchmarks.of`` takes them, each with the digest of its content.
        version: of the way in which files are cleaned.
    """

    files: tuple[Found, ...]
    folders: dict[str, tuple[str, str | None]]
    licenses: frozenset[str] | None
    against: tuple[tuple[str, str], ...]
    version: int = VERSION

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the files and with all that decides what becomes of them."""
        licenses = None if self.licenses is None else sorted(self.licenses)
        files = [vars(file) for file in self.files]
        content = json.dumps([self.version, licenses, self.against, self.folders, files])
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    def place(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"{self.fingerprint[:32]}.npz"


def clean_part(part: Part, folder: Path) -> int:
    """Clean the files of ``part`` and save the result in ``folder``; how many bytes they have.

    Raises:
        MissingExtraError: a package that finds secrets or duplicates is not installed.
        OSError: the disk is full.
    """
    begin = time.process_time()
    benchmarks = _benchmarks(part.against)
    licenses = {
        name: FolderLicenses(Path(root), metadata=None if metadata is None else Path(metadata))
        for name, (root, metadata) in part.folders.items()
    }
    cleaned = [
        clean(
            file,
            root=Path(part.folders[file.repository][0]),
            licenses=licenses[file.repository],
            wanted=part.licenses,
            benchmarks=benchmarks,
        )
        for file in part.files
    ]
    save(cleaned, part.place(folder), seconds=time.process_time() - begin)
    return sum(file.size for file in part.files)


@cache
def _benchmarks(against: tuple[tuple[str, str], ...]) -> Benchmarks:
    """Those of all parts of a build, made once in each process."""
    return Benchmarks.of([name for name, _ in against])


def clean(
    file: Found, *, root: Path, licenses: FolderLicenses, wanted: frozenset[str] | None, benchmarks: Benchmarks
) -> Cleaned:
    """What becomes of one file.

    Args:
        file: where it is.
        root: of its repository.
        licenses: of its repository.
        wanted: the licenses that are wanted; None for all.
        benchmarks: what must not be learned from.
    """
    source = read_source(Path(file.path), root=root)
    if isinstance(source, Skipped):
        known = {"name": source.name, "language": language_of(file.path), "license": ""}
        return _cleaned(file, **known, dropped=source.reason, detail=source.detail)
    known = {"name": source.name, "language": source.language, "license": "", "sha256": source.sha256}
    reason = why_dropped(source)
    if reason is not None:
        return _cleaned(file, **known, dropped=reason)
    known["license"] = licenses.of(source)
    if wanted is not None and known["license"] not in wanted:
        return _cleaned(file, **known, dropped="license", detail=known["license"])
    text, secrets = redact(source.text, language=source.language)
    words = words_of(text)
    hashes = hash_words(words)
    overlap = benchmarks.overlap(text, words, hashes)
    if overlap is not None:
        return _cleaned(file, **known, dropped="benchmark", detail=overlap)
    lines = tuple((secret.kind, source.text.count("\n", 0, secret.start) + 1) for secret in secrets)
    values = signature(hashes)
    return _cleaned(file, **known, text=text, secrets=lines, signature=_EMPTY if values is None else values)


def _cleaned(file: Found, **known: Any) -> Cleaned:
    return Cleaned(repository=file.repository, modified=file.modified, size=file.size, **known)


def save(cleaned: list[Cleaned], path: Path, *, seconds: float) -> None:
    """Write a part's result, and the seconds of processor time it took, whole or not at all."""
    records = [{key: value for key, value in vars(one).items() if key != "signature"} for one in cleaned]
    content = zlib.compress(json.dumps(records).encode("ascii"), level=1)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            records=np.frombuffer(content, dtype=np.uint8),
            signatures=np.concatenate([one.signature for one in cleaned] or [_EMPTY]),
            lengths=np.array([len(one.signature) for one in cleaned], dtype=np.int64),
            seconds=np.array(seconds),
        )


def load(path: Path) -> tuple[list[Cleaned], float]:
    """Read what ``save`` wrote.

    Raises:
        DataError: the file is damaged.
    """
    remedy = "Delete it and run the same command again"
    with named(f"file {path}", expected="what an interrupted build left behind", remedy=remedy):
        with np.load(path, allow_pickle=False) as arrays:
            records = json.loads(zlib.decompress(arrays["records"].tobytes()))
            signatures = np.split(arrays["signatures"], np.cumsum(arrays["lengths"])[:-1])
            seconds = float(arrays["seconds"])
        cleaned = []
        for record, values in zip(records, signatures, strict=True):
            secrets = tuple((kind, line) for kind, line in record.pop("secrets"))
            cleaned.append(Cleaned(**record, secrets=secrets, signature=values))
        return cleaned, seconds

"""Tokens and texts of a corpus in files that are mapped into memory rather than read.

Each shard is three files: ``.tokens`` (ids, one after the other), ``.texts`` (each text compressed by itself) and
``.jsonl`` (a line for each document). The last one is written last, so a shard without it is none.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tonggan.codelm.source_file import MAX_BYTES
from tonggan.errors import DataError
from tonggan.files import whole_file
from tonggan.stored import Record, named, parse_record

REMAKE = "Delete the corpus and build it again"
SHARD_TOKENS = 1 << 26
"""Tokens of a shard, at most by the last document in it."""
_MOST_OF_TEXT = 16 * MAX_BYTES  # what replaces secrets may be longer than they were


@dataclass(frozen=True)
class Document:
    """One file of a corpus.

    Attributes:
        repository: name of the repository it is from.
        name: of the file, relative to the repository.
        language: as ``language_of`` names it.
        license: SPDX identifier, or ``unknown``.
        start: place of its first token among all tokens of the corpus.
        length: tokens.
        modified: when it was last changed, in seconds since 1970: by git, else by the file itself.
        sha256: of the file as it was found, hexadecimal.
    """

    repository: str
    name: str
    language: str
    license: str
    start: int
    length: int
    modified: int
    sha256: str


class Line(Record):
    """A line of a shard: the fields of a ``Document``, and the bytes of its compressed text."""

    repository: str
    name: str
    language: str
    license: str
    start: int
    length: int = Field(ge=0)
    modified: int
    sha256: str
    text_length: int = Field(ge=0)

    def document(self) -> Document:
        """Without the text's length."""
        return Document(**self.model_dump(exclude={"text_length"}))


class Shard(Record):
    """What the manifest of a corpus says of a shard."""

    name: str = Field(pattern="^[0-9]{5}$")
    documents: int = Field(ge=0)
    tokens: int = Field(ge=0)
    sha256: dict[Literal[".tokens", ".texts", ".jsonl"], str] = Field(min_length=3)


class ShardFiles:
    """The files of a whole shard. Each is compared with its checksum when it is first read.

    Args:
        folder: of the shards.
        shard: what the manifest says of it.
        dtype: of the token ids.

    Raises:
        DataError: a file is missing or damaged; so does all that reads one.
    """

    def __init__(self, folder: Path, shard: Shard, *, dtype: np.dtype[Any]) -> None:
        self._place = folder / shard.name
        self._shard = shard
        self._dtype = dtype
        self._check(".jsonl")
        self.lines = read_lines(self._place.with_suffix(".jsonl"))
        self._ends = np.cumsum([line.text_length for line in self.lines], dtype=np.int64)
        self._sizes = {
            ".tokens": shard.tokens * dtype.itemsize,
            ".texts": int(self._ends[-1]) if self.lines else 0,
        }
        if len(self.lines) != shard.documents or sum(line.length for line in self.lines) != shard.tokens:
            raise damaged(self._place.with_suffix(".jsonl"), "other counts than the manifest's")
        for suffix, size in self._sizes.items():
            path = self._place.with_suffix(suffix)
            found = path.stat().st_size if path.is_file() else -1
            if found != size:
                raise damaged(path, "no such file" if found < 0 else f"{found:,} bytes instead of {size:,}")

    @cached_property
    def tokens(self) -> NDArray[Any]:
        """The ids of all documents, one after the other, mapped into memory."""
        return self._mapped(".tokens", self._dtype)

    def text(self, index: int) -> str:
        """Of the document ``index`` of this shard."""
        end = int(self._ends[index])
        compressed = self._texts[end - self.lines[index].text_length : end].tobytes()
        path = self._place.with_suffix(".texts")
        with named(f"file {path}", expected="texts compressed with zlib", remedy=REMAKE):
            reader = zlib.decompressobj()
            text = reader.decompress(compressed, _MOST_OF_TEXT).decode("utf-8")
            if not reader.eof:
                raise ValueError(f"text {index} does not end after {_MOST_OF_TEXT:,} bytes")
            return text

    @cached_property
    def _texts(self) -> NDArray[Any]:
        return self._mapped(".texts", np.dtype(np.uint8))

    def _mapped(self, suffix: Literal[".tokens", ".texts"], dtype: np.dtype[Any]) -> NDArray[Any]:
        self._check(suffix)
        path = self._place.with_suffix(suffix)
        return np.memmap(path, dtype=dtype, mode="r") if self._sizes[suffix] else np.zeros(0, dtype=dtype)

    def _check(self, suffix: Literal[".tokens", ".texts", ".jsonl"]) -> None:
        path = self._place.with_suffix(suffix)
        if not path.is_file():
            raise damaged(path, "no such file")
        found = _sha256(path)
        if found != self._shard.sha256[suffix]:
            raise damaged(path, f"SHA-256 {found[:16]}…", expected=f"{self._shard.sha256[suffix][:16]}…")


def read_lines(path: Path) -> list[Line]:
    """The lines of a shard's ``.jsonl``.

    Raises:
        DataError: it is damaged.
    """
    with named(f"file {path}", expected="a JSON object in each line", remedy=REMAKE):
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    who = f"file {path}, line"
    return [parse_record(Line, record, who=f"{who} {n}", remedy=REMAKE) for n, record in enumerate(records, start=1)]


def damaged(path: Path, got: str, *, expected: str = "a whole corpus") -> DataError:
    """The error for a file of a corpus that is not as it was written."""
    return DataError(f"file {path}", got=got, expected=expected, remedy=REMAKE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def token_type(vocabulary_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that holds every token id."""
    return np.dtype(np.uint16 if vocabulary_size <= 1 << 16 else np.uint32)


class ShardWriter:
    """Writes documents to the shards in a folder, and goes on after the last whole shard that is already there.

    Args:
        folder: of the shards of one corpus.
        dtype: of the token ids.
        shard_tokens: a shard is closed when it has as many.

    Attributes:
        lengths: tokens of each document in the shards that were already there.
        shards: of each whole shard its name, its counts and the SHA-256 of its files.
    """

    def __init__(self, folder: Path, *, dtype: np.dtype[Any], shard_tokens: int = SHARD_TOKENS) -> None:
        self._folder = folder
        self._dtype = dtype
        self._shard_tokens = shard_tokens
        self.shards: list[dict[str, Any]] = []
        self.lengths: list[int] = []
        folder.mkdir(parents=True, exist_ok=True)
        while (folder / f"{len(self.shards):05}.jsonl").is_file():
            lengths = [line.length for line in read_lines(folder / f"{len(self.shards):05}.jsonl")]
            self.shards.append(self._describe(len(lengths), sum(lengths)))
            self.lengths += lengths
        self._start = sum(self.lengths)
        self._clear()

    def add(self, document: Mapping[str, Any], *, ids: Sequence[int], text: str) -> None:
        """The next document.

        Args:
            document: the fields of ``Document`` other than ``start`` and ``length``.
            ids: its tokens.
            text: from which they are.
        """
        compressed = zlib.compress(text.encode("utf-8"))
        whole = Document(**document, start=self._start, length=len(ids))
        self._lines.append(json.dumps({**asdict(whole), "text_length": len(compressed)}))
        self._tokens.append(np.array(ids, dtype=self._dtype))
        self._texts.append(compressed)
        self._start += len(ids)
        self._num_tokens += len(ids)
        if self._num_tokens >= self._shard_tokens:
            self.close()

    def close(self) -> None:
        """Write what is left as the last shard."""
        if not self._lines:
            return
        name = f"{len(self.shards):05}"
        contents = {
            ".tokens": np.concatenate(self._tokens).tobytes(),
            ".texts": b"".join(self._texts),
            ".jsonl": "".join(f"{line}\n" for line in self._lines).encode("utf-8"),
        }
        for suffix, content in contents.items():
            with whole_file(self._folder / f"{name}{suffix}") as partial:
                partial.write_bytes(content)
        self.shards.append(self._describe(len(self._lines), self._num_tokens))
        self._clear()

    def _describe(self, num_documents: int, num_tokens: int) -> dict[str, Any]:
        name = f"{len(self.shards):05}"
        digests = {suffix: _sha256(self._folder / f"{name}{suffix}") for suffix in (".tokens", ".texts", ".jsonl")}
        return {"name": name, "documents": num_documents, "tokens": num_tokens, "sha256": digests}

    def _clear(self) -> None:
        self._lines: list[str] = []
        self._tokens: list[NDArray[Any]] = []
        self._texts: list[bytes] = []
        self._num_tokens = 0

"""A finished corpus: its documents, their tokens and texts, mapped into memory from a folder."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tonggan.codelm.corpus.shards import REMAKE, Document, Shard, ShardFiles, damaged
from tonggan.errors import DataError
from tonggan.stored import Record, named, parse_record, read_object

if TYPE_CHECKING:
    from tonggan.language.tokenizer import Tokenizer

FORMAT = 1
"""Of the folder; a newer one is refused."""

MANIFEST, TOKENIZER = "manifest.json", "tokenizer.json"
"""Files of a corpus; the first one is written last and names the folder of the shards."""
_CHOOSE = "Choose the folder of a corpus, or another --out"


class _Tokenizer(Record):
    dtype: Literal["uint16", "uint32"]
    sha256: str


class _Manifest(Record):
    """What of the manifest the corpus is read by."""

    format: int = Field(ge=1)
    identity: str
    folder: str = Field(pattern="^[0-9a-f]{16}$")
    tokenizer: _Tokenizer
    shards: list[Shard]
    kept: dict[Literal["files", "bytes", "tokens"], int]


class Corpus:
    """Source files as tokens, in the order of their repositories.

    Args:
        folder: as ``build_corpus`` left it.

    Attributes:
        folder: the same.
        manifest: what it was made of and how: paths, licenses, benchmarks, counts, checksums; equal for equal corpora.
        documents: its files in order.

    The files of a shard are compared with their checksums when they are first read.

    Raises:
        DataError: the folder holds no whole corpus, or one of a newer format; its methods, that a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Mapping[str, Any]
        self.manifest, self._manifest = _read_manifest(folder)
        self._shards = [
            ShardFiles(folder / self._manifest.folder, shard, dtype=np.dtype(self._manifest.tokenizer.dtype))
            for shard in self._manifest.shards
        ]
        self.documents: Sequence[Document] = [line.document() for shard in self._shards for line in shard.lines]
        self._firsts = [0, *accumulate(len(shard.lines) for shard in self._shards)]  # of the shards' documents
        self._starts = [0, *accumulate(shard.tokens for shard in self._manifest.shards)]  # and tokens
        lengths = accumulate((document.length for document in self.documents), initial=0)
        is_whole = len(self.documents) == self._manifest.kept.get("files", 0)
        if not is_whole or [document.start for document in self.documents] != list(lengths)[:-1]:
            raise damaged(folder / MANIFEST, "other shards, or in another order, than were written")

    @classmethod
    def open(cls, folder: Path | str) -> Corpus:
        """The corpus in ``folder``.

        Raises:
            DataError: as the constructor.
        """
        return cls(Path(folder))

    def tokens(self, index: int) -> NDArray[Any]:
        """Token ids ``[length]`` of a document, uint16 or uint32, read-only; without a mark of its end."""
        document = self.documents[index]
        shard = self._shard_of(index)
        start = document.start - self._starts[shard]
        found: NDArray[Any] = self._shards[shard].tokens[start : start + document.length]
        return found

    def text(self, index: int) -> str:
        """The text of a document, from which its tokens are."""
        shard = self._shard_of(index)
        return self._shards[shard].text(index - self._firsts[shard])

    def _shard_of(self, index: int) -> int:
        return bisect_right(self._firsts, index) - 1

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary that the tokens are of."""
        from tonggan.language.tokenizer import Tokenizer

        path = self.folder / self._manifest.folder / TOKENIZER
        with named(f"file {path}", expected="the tokenizer of the corpus", remedy=REMAKE):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != self._manifest.tokenizer.sha256:
                raise ValueError("another SHA-256 than the manifest's")
            return Tokenizer.load(json.loads(content))


def _read_manifest(folder: Path) -> tuple[dict[str, Any], _Manifest]:
    """As it is in the file, and what the corpus is read by."""
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = (folder / "work").is_dir()
        raise DataError(
            f"corpus {folder}",
            got="an unfinished one" if unfinished else f"no file {MANIFEST}",
            expected="a folder made by 'tonggan code corpus'",
            remedy="Run the same command again: it goes on where it stopped" if unfinished else "Check the path",
        )
    content = read_object(path, remedy=_CHOOSE)
    if not content.keys() >= {"format", "identity", "shards"}:
        raise DataError(
            f"file {path}",
            got="no manifest of a corpus",
            expected="one written by 'tonggan code corpus'",
            remedy=_CHOOSE,
        )
    written = content["format"]
    if type(written) is int and written > FORMAT:
        raise DataError(
            f"corpus {folder}",
            got=f"format {written}",
            expected=f"at most {FORMAT}",
            remedy="Update Tonggan, or build the corpus again",
        )
    return content, parse_record(_Manifest, content, who=f"file {path}", remedy=REMAKE)

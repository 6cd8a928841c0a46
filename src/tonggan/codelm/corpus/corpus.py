"""A finished corpus: its documents, their tokens and texts, mapped into memory from a folder."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.corpus.shards import Document
from tonggan.errors import DataError

if TYPE_CHECKING:
    from tonggan.language.tokenizer import Tokenizer

FORMAT = 1
"""Of the folder; a newer one is refused."""

MANIFEST, TOKENIZER = "manifest.json", "tokenizer.json"
"""Files of a corpus; the first one is written last and names the folder of the shards."""


class Corpus:
    """Source files as tokens, in the order of their repositories.

    Args:
        folder: as ``build_corpus`` left it.

    Attributes:
        folder: the same.
        manifest: what it was made of and how: paths, licenses, benchmarks, counts, checksums; equal for equal corpora.
        documents: its files in order.

    Raises:
        DataError: the folder holds no whole corpus, or one of a newer format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Mapping[str, Any] = _read_manifest(folder)
        self.documents: Sequence[Document]
        self._places: list[tuple[int, int, int]] = []  # of each document: shard, first byte and length of its text
        self._tokens: list[NDArray[Any]] = []
        self._texts: list[NDArray[np.uint8]] = []
        documents = []
        dtype = np.dtype(self.manifest["tokenizer"]["dtype"])
        self._starts = [0]  # of the shards among all tokens
        for number, shard in enumerate(self.manifest["shards"]):
            path = folder / self.manifest["folder"] / shard["name"]
            place = 0
            for line in _content_of(path.with_suffix(".jsonl")).decode("utf-8").splitlines():
                record = json.loads(line)
                length = record.pop("text_length")
                self._places.append((number, place, length))
                documents.append(Document(**record))
                place += length
            self._tokens.append(_mapped(path.with_suffix(".tokens"), dtype, shard["tokens"]))
            self._texts.append(_mapped(path.with_suffix(".texts"), np.dtype(np.uint8), place))
            self._starts.append(self._starts[-1] + shard["tokens"])
        self.documents = documents

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
        shard = bisect_right(self._starts, document.start) - 1 if document.length else 0
        start = document.start - self._starts[shard]
        return self._tokens[shard][start : start + document.length]

    def text(self, index: int) -> str:
        """The text of a document, from which its tokens are."""
        shard, start, length = self._places[index]
        return zlib.decompress(self._texts[shard][start : start + length].tobytes()).decode("utf-8")

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary that the tokens are of."""
        from tonggan.language.tokenizer import Tokenizer

        return Tokenizer.load(json.loads(_content_of(self.folder / self.manifest["folder"] / TOKENIZER)))


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        unfinished = (folder / "work").is_dir()
        raise DataError(
            f"corpus {folder}",
            got="one that is not finished" if unfinished else f"no {MANIFEST}",
            expected="a folder that 'tonggan code corpus' has made",
            remedy="Run the same command again: it goes on where it stopped" if unfinished else "Check the path",
        )
    try:
        manifest = json.loads(_content_of(folder / MANIFEST))
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not manifest.keys() >= {"format", "identity", "shards"}:
        raise DataError(
            f"file {folder / MANIFEST}",
            got="no manifest of a corpus",
            expected="one that 'tonggan code corpus' has written",
            remedy="Choose the folder of a corpus, or another --out",
        )
    if manifest["format"] > FORMAT:
        raise DataError(
            f"corpus {folder}",
            got=f"format {manifest['format']}",
            expected=f"at most {FORMAT}",
            remedy="Update Tonggan, or make the corpus anew",
        )
    return manifest


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _damaged(path, "no such file") from error


def _mapped(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """The file as an array ``[length]``, mapped into memory."""
    size = path.stat().st_size if path.is_file() else -1
    if size != length * dtype.itemsize:
        raise _damaged(path, "no such file" if size < 0 else f"{size:,} bytes instead of {length * dtype.itemsize:,}")
    return np.memmap(path, dtype=dtype, mode="r") if size else np.zeros(0, dtype=dtype)


def _damaged(path: Path, got: str) -> DataError:
    return DataError(f"file {path}", got=got, expected="a whole corpus", remedy="Delete the corpus and make it anew")

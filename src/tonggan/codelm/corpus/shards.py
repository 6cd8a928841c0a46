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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.files import whole_file

SHARD_TOKENS = 1 << 26
"""Tokens of a shard, at most by the last document in it."""


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
            lines = (folder / f"{len(self.shards):05}.jsonl").read_text(encoding="utf-8").splitlines()
            lengths = [json.loads(line)["length"] for line in lines]
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
        digests = {}
        for suffix in (".tokens", ".texts", ".jsonl"):
            with (self._folder / f"{name}{suffix}").open("rb") as file:
                digests[suffix] = hashlib.file_digest(file, "sha256").hexdigest()
        return {"name": name, "documents": num_documents, "tokens": num_tokens, "sha256": digests}

    def _clear(self) -> None:
        self._lines: list[str] = []
        self._tokens: list[NDArray[Any]] = []
        self._texts: list[bytes] = []
        self._num_tokens = 0

"""What a space reads of a table: features that frozen encoders make of each input, and the cells of a table.

A missing side is a row whose ``present`` is False: it teaches nothing of that side, and is never found by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.cache import DecodeCache
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.floor.features import Reading
from tonggan.floor.frozen import FrozenEncoder, advised_weights, installed_weights, open_frozen, reads_vectors
from tonggan.floor.reader import Reader
from tonggan.modalities import Modality
from tonggan.models.frame_mean_embedder import FrameMeanEmbedder
from tonggan.progress import Progress
from tonggan.tokens import Arrays, Tokens

_ROWS_AT_ONCE, _CLIPS_AT_ONCE = 512, 64
_ROWS_ENCODED_AT_ONCE = 64
Encode: TypeAlias = Callable[[Arrays], Tokens]


@dataclass(frozen=True, eq=False)
class TokenSets:
    """What items consist of: ``values`` ``[N, T, E]``, and which are real, ``mask`` bool ``[N, T]``."""

    values: NDArray[Any]
    mask: NDArray[np.bool_]

    @staticmethod
    def of(sets: Sequence[NDArray[Any]]) -> TokenSets:
        """Sets ``[T, E]`` side by side, in half precision."""
        shape = tuple(max([each.shape[axis] for each in sets], default=0) for axis in (0, 1))
        values = np.zeros((len(sets), *shape), dtype=np.float16)
        mask = np.zeros(values.shape[:2], dtype=bool)
        for row, each in enumerate(sets):
            values[row, : len(each), : each.shape[1]] = each
            mask[row, : len(each)] = True
        return TokenSets(values, mask)

    def take(self, rows: NDArray[np.int64]) -> TokenSets:
        """Those at the positions ``rows``."""
        return TokenSets(self.values[rows], self.mask[rows])

    @staticmethod
    def cat(parts: Sequence[TokenSets]) -> TokenSets:
        """The items of all ``parts``."""
        pairs = ((values, mask) for part in parts for values, mask in zip(part.values, part.mask, strict=True))
        return TokenSets.of([values[mask] for values, mask in pairs])

    def tokens(self) -> Tokens:
        """The same in float32."""
        return Tokens(torch.from_numpy(self.values).float(), torch.from_numpy(self.mask))


@dataclass(frozen=True, eq=False)
class Features:
    """What is read of one input of N rows.

    Attributes:
        values: float32 ``[N, F]`` of the frozen encoder; what stands in an absent row means nothing.
        present: bool ``[N]``.
        content: int64 ``[N]``, equal where the content is.
        sets: what the frozen encoder makes of the parts of each, where a space compares sets.
        learned: what the encoder that a space has trained makes of each.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    content: NDArray[np.int64]
    sets: TokenSets | None = None
    learned: TokenSets | None = None

    def __len__(self) -> int:
        return len(self.present)

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Those at the positions ``rows``."""
        sets, learned = (None if each is None else each.take(rows) for each in (self.sets, self.learned))
        return Features(self.values[rows], self.present[rows], self.content[rows], sets, learned)

    def as_tokens(self) -> TokenSets:
        """What a tower reads: the sets, or the vector of each as its one token."""
        return self.sets or TokenSets(self.values[:, None], self.present[:, None])

    @staticmethod
    def cat(parts: Sequence[Features]) -> Features:
        """The rows of all ``parts``."""
        fields = ("values", "present", "content")
        joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
        for name in ("sets", "learned"):
            if all(getattr(part, name) is not None for part in parts):
                joined[name] = TokenSets.cat([getattr(part, name) for part in parts])
        return Features(**joined)


def choose_weights(kinds: Sequence[str], declared: Mapping[str, str]) -> dict[str, str]:
    """By kind of input that a frozen encoder reads, its name.

    Raises:
        ConfigError: ``declared`` names a kind that no input has.
        MissingExtraError: none is installed for a kind.
    """
    wrong = set(declared) - set(kinds)
    if wrong:
        raise ConfigError(
            "space.weights",
            got=", ".join(sorted(wrong)),
            expected="kinds of inputs among " + ", ".join(dict.fromkeys(kinds)),
            remedy="Leave it out",
        )
    found = dict(declared)
    for kind in dict.fromkeys(kinds):
        if kind in found or not reads_vectors(kind):
            continue
        name = installed_weights(kind, is_latin=False) or installed_weights(kind, is_latin=True)
        if name is None:
            advised = advised_weights(kind)
            raise MissingExtraError(
                f"inputs of kind '{kind}'",
                got="no installed frozen encoder",
                expected=f"one, such as '{advised}'",
                remedy=f"tonggan weights get {advised}",
            )
        found[kind] = name
    return found


def read_as(kind: str, known: Container[str]) -> str:
    """The kind that inputs of ``kind`` are to a space that knows some: clips are pictures where it knows no clips."""
    return "image" if kind == "video" and kind not in known else kind


class Encoders:
    """Frozen encoders, each opened once: those of a language model's size take seconds to read and check."""

    def __init__(self) -> None:
        self._opened: dict[str, FrozenEncoder] = {}

    def open(self, modality: Modality[Any], name: str) -> FrozenEncoder:
        """The encoder ``name`` for what ``modality`` reads; raises as ``open_frozen``."""
        key = f"{modality.kind} {name} {getattr(modality.config, 'sample_rate', '')}"
        if key not in self._opened:
            self._opened[key] = open_frozen(modality, name)
        return self._opened[key]

    def open_frames(self, modality: Modality[Any], name: str) -> FrozenEncoder:
        """The encoder of pictures ``name``, which reads clips frame by frame."""
        del modality
        key = f"frames {name}"
        if key not in self._opened:
            self._opened[key] = FrameMeanEmbedder.load(name)
        return self._opened[key]


class FeatureReader:
    """Reads the features of each input.

    Args:
        modalities: by input name, fitted.
        weights: by kind, the frozen encoder's name.
        cache: folder where vectors are kept on the disk; None keeps them in memory alone.
        encoders: that are open already.
        reads_sets: whether sets of tokens are read beside vectors.
        learned: by kind, what the encoder that a space has trained makes of Arrays; sets are then its own.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality[Any]],
        weights: Mapping[str, str],
        *,
        cache: Path | None,
        encoders: Encoders | None = None,
        reads_sets: bool = False,
        learned: Mapping[str, Encode] | None = None,
    ) -> None:
        self.modalities, self.encoders = modalities, encoders or Encoders()
        self.reads_sets, self.learned = reads_sets, learned or {}
        self._readers: dict[str, Reader] = {}
        for name, modality in modalities.items():
            kind = read_as(modality.kind, weights)
            opener = self.encoders.open if kind == modality.kind else self.encoders.open_frames
            self._readers[name] = Reader(modality, weights=weights.get(kind), cache=cache, opener=opener)

    @property
    def identities(self) -> dict[str, dict[str, str]]:
        """By kind, name and identity of the frozen encoder."""
        return {
            self.modalities[name].kind: {"name": reader.encoder.name, "identity": reader.encoder.identity}
            for name, reader in self._readers.items()
            if reader.weights is not None
        }

    def width(self, name: str) -> int:
        """F of an input."""
        return int(self.read(name, []).values.shape[1])

    def read(self, name: str, items: Sequence[Any]) -> Features:
        """The features of ``items`` of the input ``name``: texts, decoded files, or rows of cells; None is absent."""
        modality = self.modalities[name]
        arrays = _texts(items) if modality.kind == "text" else modality.collate(list(items) or [None])
        reading = self._readers[name].read(arrays)
        if not items and modality.kind != "text":
            reading = reading.take(np.empty(0, dtype=np.int64))
        values = _cells(reading) if reading.cells is not None else reading.vectors
        assert values is not None, f"input '{name}' has neither vectors nor cells"
        sets = learned = None
        if modality.kind in self.learned:
            learned = encoded(self.learned[modality.kind], modality.collate(list(items)) if items else None)
        elif self.reads_sets and reading.vectors is not None:
            sets = TokenSets.of(self._readers[name].token_sets(arrays) if items else [])
        return Features(values, reading.present, _hashes(values), sets, learned)

    def read_table(
        self,
        table: Table,
        *,
        media: Mapping[str, MediaColumn],
        caches: Mapping[str, DecodeCache],
        rows: NDArray[np.int64],
        progress: Progress,
    ) -> dict[str, Features]:
        """Those of ``rows`` of ``table`` by input, of all inputs that it has."""
        found = {}
        for name, modality in self.modalities.items():
            parts = [self.read(name, [])]
            at_once = _CLIPS_AT_ONCE if modality.kind == "video" else _ROWS_AT_ONCE
            for first in range(0, len(rows), at_once):
                chosen = rows[first : first + at_once]
                if name in media:
                    items: Sequence[Any] = caches[name].read(media[name].slots[chosen])
                else:
                    items = modality.gather(name, partial(_cells_of, table, chosen))
                parts.append(self.read(name, items))
                progress.update(f"read {name}", done=first + len(chosen), total=len(rows))
            found[name] = Features.cat(parts)
        return found


@torch.no_grad()
def encoded(encode: Encode, arrays: Arrays | None) -> TokenSets:
    """What ``encode`` makes of ``arrays``, some rows at a time; of no rows where they are None."""
    sets: list[NDArray[Any]] = []
    for first in range(0, 0 if arrays is None else len(arrays), _ROWS_ENCODED_AT_ONCE):
        assert arrays is not None, "there are rows"
        tokens = encode(arrays.take(torch.arange(first, min(first + _ROWS_ENCODED_AT_ONCE, len(arrays)))))
        sets += [values[mask].numpy() for values, mask in zip(tokens.values.float(), tokens.mask, strict=True)]
    return TokenSets.of(sets)


def _cells_of(table: Table, rows: NDArray[np.int64], column: str) -> Sequence[Any]:
    return table.values(column, rows)


def _texts(items: Sequence[Any]) -> Arrays:
    texts = np.array([cell_text(item) or "" for item in items], dtype=object)
    present = torch.tensor([bool(text.strip()) for text in texts], dtype=torch.bool)
    return Arrays(torch.zeros(len(texts)), present, texts=texts)


def _cells(reading: Reading) -> NDArray[np.float32]:
    """Numbers, 0 where absent, beside whether each is there, and a column for each name of a category."""
    assert reading.cells is not None
    parts: list[NDArray[np.float32]] = []
    for place, size in enumerate(reading.categories):
        cell = reading.cells[:, place]
        there = ~np.isnan(cell)
        if size:
            names = np.zeros((len(cell), size), dtype=np.float32)
            names[there, cell[there].astype(np.int64)] = 1
            parts.append(names)
        else:
            parts.append(np.stack([np.where(there, cell, 0), there], axis=1).astype(np.float32))
    return np.concatenate(parts, axis=1)


def _hashes(values: NDArray[np.float32]) -> NDArray[np.int64]:
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in values]
    return np.frombuffer(b"".join(digests), dtype=np.int64).copy()

"""What a space reads of a table: features that frozen encoders make of each input, and the cells of a table.

A missing side is a row whose ``present`` is False: it teaches nothing of that side, and is never found by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from tonggan.progress import Progress
from tonggan.tokens import Arrays

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Features:
    """What is read of one input of N rows.

    Attributes:
        values: float32 ``[N, F]``; what stands in an absent row means nothing.
        present: bool ``[N]``.
        content: int64 ``[N]``, equal where the content is.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    content: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.present)

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Those at the positions ``rows``."""
        return Features(self.values[rows], self.present[rows], self.content[rows])

    @staticmethod
    def cat(parts: Sequence[Features]) -> Features:
        """The rows of all ``parts``."""
        fields = ("values", "present", "content")
        return Features(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


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
                got="no frozen encoder that is installed",
                expected=f"one, such as '{advised}'",
                remedy=f"tonggan weights get {advised}",
            )
        found[kind] = name
    return found


class Encoders:
    """Frozen encoders, each opened once: those of a language model's size take seconds to read and check."""

    def __init__(self) -> None:
        self._opened: dict[str, FrozenEncoder] = {}

    def open(self, modality: Modality[Any], name: str) -> FrozenEncoder:
        """The encoder ``name`` for what ``modality`` reads; raises as ``open_frozen``."""
        key = f"{name} {getattr(modality.config, 'sample_rate', '')}"
        if key not in self._opened:
            self._opened[key] = open_frozen(modality, name)
        return self._opened[key]


class FeatureReader:
    """Reads the features of each input.

    Args:
        modalities: by input name, fitted.
        weights: by kind, the frozen encoder's name.
        cache: folder where vectors are kept on the disk; None keeps them in memory alone.
        encoders: that are open already.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality[Any]],
        weights: Mapping[str, str],
        *,
        cache: Path | None,
        encoders: Encoders | None = None,
    ) -> None:
        self.modalities, self.encoders = modalities, encoders or Encoders()
        self._readers = {
            name: Reader(modality, weights=weights.get(modality.kind), cache=cache, opener=self.encoders.open)
            for name, modality in modalities.items()
        }

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
        return Features(values, reading.present, _hashes(values))

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
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                chosen = rows[first : first + _ROWS_AT_ONCE]
                if name in media:
                    items: Sequence[Any] = caches[name].read(media[name].slots[chosen])
                else:
                    items = modality.gather(name, partial(_cells_of, table, chosen))
                parts.append(self.read(name, items))
                progress.update(f"read {name}", done=first + len(chosen), total=len(rows))
            found[name] = Features.cat(parts)
        return found


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

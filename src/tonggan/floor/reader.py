"""From the arrays of one input to what members read of it: cells, texts, and vectors of a frozen encoder.

Vectors are computed once for each content: they are kept by its hash, in memory, and where there is a cache also on the
disk, named by all that they depend on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.cache import DecodeCache
from tonggan.floor.features import Reading
from tonggan.floor.frozen import FrozenEncoder, open_frozen
from tonggan.modalities.base import Modality
from tonggan.modalities.table import TableRow
from tonggan.tokens import Arrays

_MOST_KEPT = 128_000_000  # bytes of vectors in memory
_MOST_TOKENS = 32  # of an item; the rest of a longer text is not read
_VECTORS, _TOKENS = _SETS = "", "-tokens-1"  # behind the names of caches; changes with whatever changes the tokens


class Reader:
    """Reads one input.

    Args:
        modality: of the input, fitted.
        weights: the frozen encoder's name; None reads no vectors.
        cache: folder where vectors are kept on the disk; None keeps them in memory alone.
        opener: opens the encoder.
    """

    def __init__(
        self,
        modality: Modality[Any],
        *,
        weights: str | None,
        cache: Path | None = None,
        opener: Callable[[Modality[Any], str], FrozenEncoder] = open_frozen,
    ) -> None:
        self.modality, self.weights, self._folder, self._opener = modality, weights, cache, opener
        self._kept: dict[str, dict[bytes, NDArray[Any]]] = {_VECTORS: {}, _TOKENS: {}}

    @cached_property
    def encoder(self) -> FrozenEncoder:
        """The frozen encoder.

        Raises:
            MissingExtraError: its package is not installed.
            DataError: its files are others.
        """
        assert self.weights is not None, "an input without a frozen encoder has no vectors"
        return self._opener(self.modality, self.weights)

    @cached_property
    def _caches(self) -> dict[str, DecodeCache]:
        return {} if self._folder is None else {of: DecodeCache(self._folder, _Named(self.encoder, of)) for of in _SETS}

    def without_vectors(self) -> Reader:
        """One that reads the same input without a frozen encoder."""
        return Reader(self.modality, weights=None)

    def read(self, arrays: Arrays) -> Reading:
        """What members read of ``arrays``; what rows share stands once.

        Raises:
            MissingExtraError, DataError: the frozen encoder cannot be opened.
            CacheError: the cache cannot be written.
        """
        present = arrays.present.cpu().numpy()
        if isinstance(self.modality, TableRow):
            cells = np.where(arrays.mask.cpu(), arrays.values.cpu(), np.float32(np.nan)).astype(np.float32)
            modality = self.modality
            return Reading(present, cells=cells, categories=modality.sizes, columns=modality.positions)
        texts = arrays.texts
        vectors = None
        if self.weights is not None:
            vectors = np.zeros((len(present), self.encoder.dim), dtype=np.float32)
            there = np.flatnonzero(present)
            items = list(texts[there]) if texts is not None else _items(arrays, there)
            if len(there):
                vectors[there] = np.concatenate(self._made(items, _VECTORS))
        return Reading(present, vectors=vectors, texts=texts)

    def token_sets(self, arrays: Arrays) -> list[NDArray[np.float16]]:
        """Of each row of ``arrays`` ``[T, E]``, what the encoder makes of its parts; no part of one that is absent.

        Raises:
            MissingExtraError, DataError, CacheError: as ``read``.
        """
        there = np.flatnonzero(arrays.present.cpu().numpy())
        items = list(arrays.texts[there]) if arrays.texts is not None else _items(arrays, there)
        found = dict(zip(there.tolist(), self._made(items, _TOKENS), strict=True)) if items else {}
        width = next((each.shape[1] for each in found.values()), 0)
        return [found.get(row, np.empty((0, width), dtype=np.float16)) for row in range(len(arrays))]

    def _made(self, items: Sequence[Any], of: str) -> list[NDArray[Any]]:
        """``[1, D]`` of each, its vector, or ``[T, E]``, its tokens."""
        keys, kept, cache = [_key(item) for item in items], self._kept[of], self._caches.get(of)
        found = {key: kept[key] for key in keys if key in kept}
        wanted = {key: item for key, item in zip(keys, items, strict=True) if key not in found}
        if wanted and cache is not None:
            slots = cache.find(wanted)
            for key, array in zip(slots, cache.read(np.array(list(slots.values()), dtype=np.int64)), strict=True):
                assert array is not None, "a vector is no file that may be unreadable"
                found[key] = array
                del wanted[key]
        if wanted:
            made = dict(zip(wanted, self._embedded(list(wanted.values()), of), strict=True))
            if cache is not None:
                cache.put(made)
            found |= made
        if sum(each.nbytes for each in kept.values()) > _MOST_KEPT:
            kept.clear()
        kept |= found
        return [found[key] for key in keys]

    def _embedded(self, items: Sequence[Any], of: str) -> Sequence[NDArray[Any]]:
        if of == _VECTORS:
            return list(self.encoder.embed(items)[:, None])
        return [each[:_MOST_TOKENS].astype(np.float16) for each in self.encoder.embed_tokens(items)]


class _Named:
    """Names the folder of a cache by the encoder."""

    def __init__(self, encoder: FrozenEncoder, of: str) -> None:
        self._name = f"{encoder.name}-{encoder.identity}{of}"

    def cache_key(self) -> str:
        """The folder's name."""
        return self._name


def _items(arrays: Arrays, rows: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Pixels or samples of each of ``rows``, without what only fills them up."""
    values, mask = arrays.values.cpu().numpy(), arrays.mask.cpu().numpy()
    return [values[row] if mask.ndim == 1 else values[row][mask[row]] for row in rows.tolist()]


def _key(item: Any) -> bytes:
    raw = item.encode("utf-8", "surrogatepass") if isinstance(item, str) else np.ascontiguousarray(item).data
    digest = hashlib.blake2b(raw, digest_size=16)
    if not isinstance(item, str):
        digest.update(f"{item.dtype}{item.shape}".encode())
    return digest.digest()

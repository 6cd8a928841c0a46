"""Rows found by their vectors: exact in half precision while few, an inverted file beyond (Jegou et al. 2011).

Scores are inner products, which are cosines where vectors have length 1. It knows rows by their ids only, keeps no
record of which rows it should hold (the store does), and never approximates a search among chosen rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import MissingExtraError

EXACT_ROWS = 20_000  # up to here one cell holds all, and every search compares with every row
_RECALL = 0.99  # share of the true ten nearest that searches find on average, measured on rows of the index itself
_PROBE_QUERIES = 100
_POINTS_PER_CELL = 40  # that k-means learns from
_CHUNK = 50_000  # rows that are brought to full precision at once

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorIndex:
    """A FAISS inverted file with half-precision codes, in memory or mapped from a file.

    Args:
        index: what ``build`` or ``read`` made.
        probes: the number of cells that a search looks into.
    """

    def __init__(self, index: Any, *, probes: int) -> None:
        self._faiss = load_faiss()
        self._index = index
        self.probes = probes

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @classmethod
    def build(cls, ids: Ids, vectors: NDArray[np.floating]) -> VectorIndex:
        """An index of ``vectors [N, D]``, N > 0; the number of cells to probe is chosen for a recall of 0.99."""
        faiss = load_faiss()
        count, dim = vectors.shape
        cells = 1 if count <= EXACT_ROWS else int(2 * count**0.5)
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
        )
        index.cp.niter, index.cp.spherical, index.cp.seed = 8, True, 1
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _POINTS_PER_CELL
        rng = np.random.default_rng(0)
        sample = rng.choice(count, min(count, cells * _POINTS_PER_CELL), replace=False)
        index.train(vectors[np.sort(sample)].astype(np.float32))
        built = cls(index, probes=cells)
        built._add(ids, vectors)
        if cells > 1:
            queries = vectors[rng.choice(count, _PROBE_QUERIES, replace=False)]
            built._choose_probes(queries.astype(np.float32), cells=cells)
        return built

    def _choose_probes(self, queries: Vectors, *, cells: int) -> None:
        truth = [set(self.search(query, limit=10)[0].tolist()) for query in queries]
        self.probes = 1
        while self.probes < cells:
            found = [set(self.search(query, limit=10)[0].tolist()) for query in queries]
            if np.mean([len(a & b) / len(a) for a, b in zip(truth, found, strict=True)]) >= _RECALL:
                return
            self.probes = min(2 * self.probes, cells)

    @classmethod
    def read(cls, path: Path, *, probes: int, writable: bool = False) -> VectorIndex:
        """The index at ``path``: mapped into memory, so that pages are read as searches need them, or to be updated.

        Raises:
            RuntimeError: the file is missing or damaged, as FAISS says it.
        """
        faiss = load_faiss()
        index = faiss.read_index(str(path), 0 if writable else faiss.IO_FLAG_MMAP)
        if not writable:
            # By default each search would start 32 threads to read ahead.
            faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
        return cls(index, probes=probes)

    def write(self, path: Path) -> None:
        """Write what ``read`` reads."""
        self._faiss.write_index(self._index, str(path))

    def update(self, *, removed: Ids, ids: Ids, vectors: NDArray[np.floating]) -> None:
        """Remove rows, then add ``vectors [N, D]``; an id that is there is replaced. Cells stay as they are."""
        self._index.remove_ids(self._selector(np.concatenate([removed, ids])))
        self._add(ids, vectors)

    def _add(self, ids: Ids, vectors: NDArray[np.floating]) -> None:
        for start in range(0, len(ids), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._index.add_with_ids(vectors[chunk].astype(np.float32), ids[chunk])

    def search(
        self, vector: Vectors, *, limit: int, allowed: Ids | None = None, excluded: Ids | None = None
    ) -> tuple[Ids, Vectors]:
        """The ids of the rows nearest to ``vector [D]`` and their scores, best first; fewer where there are fewer.

        With ``allowed``, exactly the nearest among the rows of these ids; with ``excluded``, those of all other rows.
        """
        selector, probes = None, self.probes
        if allowed is not None:
            selector, probes = self._selector(allowed), self._index.nlist
        elif excluded is not None and len(excluded):
            selector = self._faiss.IDSelectorNot(self._selector(excluded))
        parameters = self._faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        wanted = min(limit, len(self))
        if wanted <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        scores, ids = self._index.search(np.ascontiguousarray(vector[None], np.float32), wanted, params=parameters)
        found = ids[0] >= 0
        return ids[0][found], scores[0][found]

    def _selector(self, ids: Ids) -> Any:
        chosen = np.zeros(int(ids.max(initial=-1)) + 1, np.bool_)
        chosen[ids] = True
        return self._faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))


def load_faiss() -> Any:
    """The package, or a MissingExtraError that says how to install it."""
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError.of("faiss-cpu", extra="search", purpose="the search by vectors") from error
    return faiss

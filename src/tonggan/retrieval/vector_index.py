"""Rows found by their vectors: exact in half precision while few, an inverted file beyond (Jegou et al. 2011).

Scores are inner products, which are cosines where vectors have length 1. It knows rows by their ids only, keeps no
record of which rows it should hold (the store does), and compares all of few rows that a search is restricted to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import MissingExtraError

EXACT_ROWS = 20_000  # up to here one cell holds all, and every search compares with every row
_RECALL = 0.995  # share of the true ten nearest that searches find on average
_PROBE_QUERIES = 200
_SELECTIONS_KEPT = 8
_ALL_OF = 2_000  # chosen rows that are compared at least, and so many for each that is wanted
_COMPARED_OF_EACH = 20
_MORE_CELLS = 0.25  # cells grow with this power of how many rows there are for each that is chosen
_DENSE = 0.2  # share of chosen rows in cells from which on all rows in them are compared
_POINTS_PER_CELL = 40  # that k-means learns from
_CHUNK = 50_000  # rows that are brought to full precision at once

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Piece = tuple[Ids, NDArray[np.floating[Any]]]


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
        self._selections: dict[int, _Selection] = {}
        self._cells: NDArray[np.uint32] | None = None
        self._sizes: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @classmethod
    def build(cls, pieces: Callable[[], Iterable[Piece]]) -> VectorIndex:
        """An index of all rows of ``pieces``; the number of cells to probe is chosen for a recall of 0.995.

        Args:
            pieces: ids ``[N]`` and vectors ``[N, D]`` at a time, one row at least in all. It is called several times
                and must give the same each time; no more than one piece is held in memory beside the index.
        """
        faiss = load_faiss()
        count, dim = 0, 0
        for ids, vectors in pieces():
            count, dim = count + len(ids), vectors.shape[1]
        cells = 1 if count <= EXACT_ROWS else int(2 * count**0.5)
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
        )
        index.cp.niter, index.cp.spherical, index.cp.seed = 8, True, 1
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _POINTS_PER_CELL
        rng = np.random.default_rng(0)
        sample = np.sort(rng.choice(count, min(count, cells * _POINTS_PER_CELL), replace=False))
        learned = _rows_at(pieces(), sample)
        index.train(learned)
        built = cls(index, probes=cells)
        for ids, vectors in pieces():
            built.add(ids, vectors)
        if cells > 1:
            built._choose_probes(rng.choice(learned, (2, _PROBE_QUERIES)), cells=cells)
        return built

    def _choose_probes(self, pairs: Vectors, *, cells: int) -> None:
        """Ask for what lies between two rows: a question is hardly ever as near to one as the rows are to each other.

        Rows as queries promise too much: of sentences under E5, 0.99 on their own was 0.87 on others.
        """
        queries = pairs.sum(axis=0)
        truth = [set(self.search(query, limit=10)[0].tolist()) for query in queries]
        self.probes = 1
        while self.probes < cells:
            found = [set(self.search(query, limit=10)[0].tolist()) for query in queries]
            if np.mean([len(a & b) / len(a) for a, b in zip(truth, found, strict=True)]) >= _RECALL:
                return
            self.probes = min(self.probes + max(1, self.probes // 4), cells)

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

    def remove(self, ids: Ids) -> None:
        """Forget the rows of ``ids``, those that are not there passed over. Cells stay as they are."""
        self._cells = None
        self._index.remove_ids(_Selection(ids, self._faiss).selector)

    def add(self, ids: Ids, vectors: NDArray[np.floating[Any]]) -> None:
        """Add ``vectors [N, D]`` under ids that are not there."""
        self._cells = None
        for start in range(0, len(ids), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._index.add_with_ids(vectors[chunk].astype(np.float32), ids[chunk])

    def search(
        self,
        vector: Vectors,
        *,
        limit: int,
        allowed: Ids | None = None,
        excluded: Ids | None = None,
        exact: bool = False,
    ) -> tuple[Ids, Vectors]:
        """The ids of the rows nearest to ``vector [D]`` and their scores, best first; fewer where there are fewer.

        Args:
            vector: of length 1, where scores are to be cosines.
            limit: how many at most.
            allowed: only rows of these ids. Of 2,000 or fewer all are compared. Of more, cells that hold any are
                looked into, the nearest first, until a third more change nothing.
            excluded: no rows of these ids.
            exact: whether all rows are compared.
        """
        wanted = min(limit, len(self))
        if wanted <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        query = np.ascontiguousarray(vector[None], np.float32)
        cells = int(self._index.nlist)
        others = None
        if excluded is not None and len(excluded):
            others = self._faiss.IDSelectorNot(self._selection(excluded).selector)
        if allowed is not None and cells > 1:
            scores, ids = self._search_selected(query, wanted, self._selection(allowed), others, exact=exact)
        else:
            selector = others if allowed is None else self._both(self._selection(allowed).selector, others)
            probes = cells if exact else self.probes
            parameters = self._faiss.SearchParametersIVF(nprobe=probes, sel=selector)
            scores, ids = (each[0] for each in self._index.search(query, wanted, params=parameters))
        found = ids >= 0
        return ids[found], scores[found]

    def _both(self, selector: Any, others: Any) -> Any:
        return selector if others is None else self._faiss.IDSelectorAnd(selector, others)

    def _search_selected(
        self, query: Vectors, wanted: int, selection: _Selection, others: Any, *, exact: bool
    ) -> tuple[Vectors, Ids]:
        """Look into the nearest cells that hold chosen rows, and into a third more until these change nothing."""
        cells = int(self._index.nlist)
        if selection.in_cells is None:
            selection.in_cells = np.bincount(self._cells_of(selection.ids), minlength=cells + 1)[:cells]
        likeness, order = self._index.quantizer.search(query, cells)
        holding = selection.in_cells[order[0]] > 0
        likeness, order = likeness[0, holding], order[0, holding]
        compared = np.cumsum(selection.in_cells[order])
        scores, ids = np.empty(0, np.float32), np.empty(0, np.int64)
        # The fewer rows are chosen, the farther away are the nearest of them.
        first = self.probes * (len(self) / max(1, len(selection.ids))) ** _MORE_CELLS
        end = max(int(first), int(np.searchsorted(compared, max(_ALL_OF, _COMPARED_OF_EACH * wanted))) + 1)
        start, end = 0, len(order) if exact else end
        while start < len(order):
            end = min(end, len(order))
            new = self._search_cells(query, wanted, order[start:end], likeness[start:end], selection, others)
            scores, ids = np.concatenate([scores, new[0]]), np.concatenate([ids, new[1]])
            best = np.argsort(-scores, kind="stable")[:wanted]
            is_same = start > 0 and bool((best < wanted).all())
            scores, ids = scores[best], ids[best]
            if is_same:
                break
            start, end = end, end + max(1, end // 3)
        return scores, ids

    def _search_cells(
        self, query: Vectors, wanted: int, cells: Ids, likeness: Vectors, selection: _Selection, others: Any
    ) -> tuple[Vectors, Ids]:
        """The nearest ``[wanted]`` chosen rows in these cells alone; an id is -1 where there are fewer."""
        assert selection.in_cells is not None, "cells are counted before they are searched"
        share = selection.in_cells[cells].sum() / max(1, self._sizes[cells].sum())
        if share >= _DENSE:
            # To ask of each row whether it is chosen takes longer than to compare it.
            most = int(wanted / share * 1.3) + 16
            scores, ids = self._compared(query, most, cells, likeness, others)
            is_chosen = selection.holds(ids)
            if is_chosen.sum() >= wanted or ids[-1] < 0:
                return _filled(scores[is_chosen], ids[is_chosen], wanted)
        return self._compared(query, wanted, cells, likeness, self._both(selection.selector, others))

    def _compared(
        self, query: Vectors, wanted: int, cells: Ids, likeness: Vectors, selector: Any
    ) -> tuple[Vectors, Ids]:
        scores, ids = np.empty(wanted, np.float32), np.empty(wanted, np.int64)
        cells, likeness = np.ascontiguousarray(cells), np.ascontiguousarray(likeness)
        parameters = self._faiss.SearchParametersIVF(nprobe=len(cells), sel=selector)
        given = [self._faiss.swig_ptr(each) for each in (query, cells, likeness, scores, ids)]
        self._index.search_preassigned_c(1, given[0], wanted, *given[1:], False, parameters)
        return scores, ids

    def _cells_of(self, ids: Ids) -> NDArray[np.uint32]:
        """The cell of each of ``ids``; the number of cells for one that is not there."""
        if self._cells is None:
            lists, cells = self._index.invlists, int(self._index.nlist)
            sizes = [lists.list_size(cell) for cell in range(cells)]
            self._sizes = np.array(sizes, np.int64)
            held = [
                self._faiss.rev_swig_ptr(lists.get_ids(cell), size).copy() for cell, size in enumerate(sizes) if size
            ]
            there = np.concatenate([np.empty(0, np.int64), *held])
            self._cells = np.full(int(there.max(initial=-1)) + 1, cells, np.uint32)
            self._cells[there] = np.repeat(np.arange(cells, dtype=np.uint32), sizes)
        found = np.full(len(ids), self._index.nlist, np.uint32)
        known = ids < len(self._cells)
        found[known] = self._cells[ids[known]]
        return found

    def _selection(self, ids: Ids) -> _Selection:
        """``ids`` as FAISS takes them, kept for searches to come with the same array."""
        found = self._selections.pop(id(ids), None) or _Selection(ids, self._faiss)
        self._selections[id(ids)] = found
        if len(self._selections) > _SELECTIONS_KEPT:
            del self._selections[next(iter(self._selections))]
        return found


class _Selection:
    """Rows by their ids ``[N]``, which do not change from now on."""

    def __init__(self, ids: Ids, faiss: Any) -> None:
        chosen = np.zeros(int(ids.max(initial=-1)) + 1, np.bool_)
        chosen[ids] = True
        self.ids = ids  # held, so that no other array is at its address
        self._chosen = chosen
        self.selector = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
        self.in_cells: NDArray[np.int64] | None = None

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        """Whether each of ``ids`` is chosen; -1 is not."""
        known = (ids >= 0) & (ids < len(self._chosen))
        known[known] = self._chosen[ids[known]]
        return known


def _filled(scores: Vectors, ids: Ids, wanted: int) -> tuple[Vectors, Ids]:
    """The first ``wanted``, and ids of -1 where there are fewer."""
    missing = max(0, wanted - len(ids))
    worst = np.full(missing, -np.inf, np.float32)
    return np.concatenate([scores[:wanted], worst]), np.concatenate([ids[:wanted], np.full(missing, -1)])


def _rows_at(pieces: Iterable[Piece], places: Ids) -> Vectors:
    """The vectors at ascending ``places`` of all."""
    found, start = [], 0
    for ids, vectors in pieces:
        first, end = np.searchsorted(places, [start, start + len(ids)])
        found.append(vectors[places[first:end] - start].astype(np.float32))
        start += len(ids)
    return np.concatenate(found)


def load_faiss() -> Any:
    """The package, or a MissingExtraError that says how to install it."""
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError.of("faiss-cpu", extra="search", purpose="the search by vectors") from error
    return faiss

"""Indexes of vectors side by side: how each is built, opened and asked, and the vectors that all of them get."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress
from tonggan.retrieval.store import Compared, Row, Store

Array = NDArray[np.float32]
DIM, K = 384, 10
SENTENCES, QUERIES = 8_000, 500
CHUNK = 50_000
SHARES = (1, 10, 50)  # percent of the rows that a filter keeps
FIELD = "share"


def sentences(folder: Path) -> tuple[Array, Array]:
    """Vectors of the sentences to search and of those to ask for."""
    path = folder / "sentences.npy"
    if not path.exists():
        tables = find_set("tatoeba_zh_en").get(cache=cache_folder(), progress=Progress())
        table = open_table(tables["train"], cache=cache_folder())
        texts = sorted({str(text) for name in ("english", "chinese") for text in table.values(name)})
        chosen = np.random.default_rng(0).choice(len(texts), SENTENCES + QUERIES, replace=False)
        vectors = TextEmbedder.load("e5", precision="fp32").embed([texts[place] for place in chosen])
        np.save(path, vectors.astype(np.float32))
        base = vectors[:SENTENCES]
        np.save(folder / "nearest.npy", np.argsort(-(base @ base.T), axis=1)[:, 1 : K + 1])
    vectors = np.load(path)
    return vectors[:SENTENCES], vectors[SENTENCES:]


def made(folder: Path, rows: int) -> Iterator[tuple[int, Array]]:
    """The vectors in pieces, with the place of the first of each."""
    base, _ = sentences(folder)
    nearest = np.load(folder / "nearest.npy")
    for start in range(0, rows, CHUNK):
        rng = np.random.default_rng([1, start])
        count = min(CHUNK, rows - start)
        whose = np.arange(start, start + count) % SENTENCES
        other = nearest[whose, rng.integers(0, K, count)]
        way = rng.random((count, 1), dtype=np.float32)
        noise = rng.standard_normal((count, DIM), dtype=np.float32) / (20 * DIM**0.5)
        found = base[whose] + way * (base[other] - base[whose]) + noise
        if start == 0:
            found[:SENTENCES] = base[:count]
        yield start, found / np.linalg.norm(found, axis=1, keepdims=True)


def shares_of(rows: int) -> NDArray[np.int64]:
    """What the filters ask for: 0 to 99 for each row, by chance."""
    return np.random.default_rng(2).integers(0, 100, rows)


class Contender(ABC):
    """An index of the vectors. ``build`` makes and keeps it, ``open`` gets ready to search."""

    settings: Sequence[int | None] = (None,)

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        self.shares = shares_of(rows)

    @property
    def path(self) -> Path:
        return self.folder / f"{type(self).__name__}-{self.rows}"

    def build(self) -> None:  # noqa: B027 (some only hold vectors)
        """Make the index at ``path``."""

    @abstractmethod
    def open(self) -> None:
        """Get ready to search."""

    def set(self, setting: int) -> None:  # noqa: B027 (some have none)
        """Look at so many cells or candidates."""

    @abstractmethod
    def search(self, query: Array, kept: int) -> Sequence[int]:
        """The ids of the ten nearest, of the rows of which a filter keeps ``kept`` percent."""

    def filtered(self) -> bool:
        return True


class Tonggan(Contender):
    exact = False

    @property
    def path(self) -> Path:
        return self.folder / f"Tonggan-{self.rows}"

    def store(self) -> Store:
        return Store.open(self.path, analyze=None, dim=DIM, version="1")

    def build(self) -> None:
        with self.store() as store, store.writing() as writer:
            for start, vectors in made(self.folder, self.rows):
                shares = self.shares[start : start + len(vectors)].tolist()
                rows = enumerate(zip(shares, vectors, strict=True), start)
                writer.put(Row(f"{n}", f"{n}", "", "", {FIELD: share}, vector) for n, (share, vector) in rows)
                writer.commit()

    def open(self) -> None:
        self.opened = self.store()

    def search(self, query: Array, kept: int) -> Sequence[int]:
        where = None if kept == 100 else {FIELD: Compared("<", kept)}
        return [int(key) for key in self.opened.search_vectors(query, limit=K, where=where, exact=self.exact)]


class TongganExact(Tonggan):
    exact = True

    def build(self) -> None:
        """It is the same store."""


class Numpy(Contender):
    def open(self) -> None:
        self.vectors = np.empty((self.rows, DIM), np.float32)
        for start, vectors in made(self.folder, self.rows):
            self.vectors[start : start + len(vectors)] = vectors
        self.places = {kept: np.flatnonzero(self.shares < kept) for kept in SHARES}

    def search(self, query: Array, kept: int) -> Sequence[int]:
        if kept == 100:
            scores = self.vectors @ query
            return np.argpartition(-scores, K)[:K].tolist()
        scores = self.vectors[self.places[kept]] @ query
        return self.places[kept][np.argpartition(-scores, K)[:K]].tolist()


class Faiss(Contender):
    """One of FAISS's indexes."""

    def make(self, faiss: Any) -> Any:
        raise NotImplementedError

    def parameters(self, faiss: Any, selector: Any) -> Any:
        raise NotImplementedError

    def filled(self) -> Any:
        import faiss

        index = self.make(faiss)
        for start, vectors in made(self.folder, self.rows):
            if start == 0 and not index.is_trained:
                index.train(vectors if self.rows <= CHUNK else self.sample())
            index.add(vectors)
        return index

    def sample(self) -> Array:
        every = max(1, self.rows // 80_000)
        return np.concatenate([vectors[::every] for _, vectors in made(self.folder, self.rows)])

    def build(self) -> None:
        import faiss

        faiss.write_index(self.filled(), str(self.path))

    def open(self) -> None:
        import faiss

        self.ready(faiss, faiss.read_index(str(self.path)))

    def ready(self, faiss: Any, index: Any) -> None:
        self.faiss, self.index = faiss, index
        self.selectors = {
            kept: faiss.IDSelectorBitmap(np.packbits(self.shares < kept, bitorder="little")) for kept in SHARES
        } | {100: None}
        self.set(1)

    def set(self, setting: int) -> None:
        self.setting = setting
        self.asked = {kept: self.parameters(self.faiss, each) for kept, each in self.selectors.items()}

    def search(self, query: Array, kept: int) -> Sequence[int]:
        return self.index.search(query[None], K, params=self.asked[kept])[1][0].tolist()


class FaissFlat(Faiss):
    def make(self, faiss: Any) -> Any:
        return faiss.IndexFlatIP(DIM)

    def build(self) -> None:
        pass

    def open(self) -> None:
        import faiss

        self.ready(faiss, self.filled())

    def parameters(self, faiss: Any, selector: Any) -> Any:
        return faiss.SearchParameters(sel=selector)


class FaissFlatHalf(FaissFlat):
    def make(self, faiss: Any) -> Any:
        return faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


class FaissIvf(Faiss):
    settings = tuple(2**power for power in range(1, 11))

    def make(self, faiss: Any) -> Any:
        self.quantizer = faiss.IndexFlatIP(DIM)
        return faiss.IndexIVFFlat(self.quantizer, DIM, int(2 * self.rows**0.5), faiss.METRIC_INNER_PRODUCT)

    def parameters(self, faiss: Any, selector: Any) -> Any:
        return faiss.SearchParametersIVF(nprobe=self.setting, sel=selector)


class FaissHnsw(Faiss):
    settings = tuple(2**power for power in range(4, 12))

    def make(self, faiss: Any) -> Any:
        return faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)

    def parameters(self, faiss: Any, selector: Any) -> Any:
        return faiss.SearchParametersHNSW(efSearch=self.setting, sel=selector)


class Hnswlib(Contender):
    settings = tuple(2**power for power in range(4, 12))

    def build(self) -> None:
        import hnswlib

        index = hnswlib.Index("ip", DIM)
        index.init_index(self.rows, M=16, ef_construction=100, random_seed=1)
        for start, vectors in made(self.folder, self.rows):
            index.add_items(vectors, np.arange(start, start + len(vectors)), num_threads=1)
        index.save_index(str(self.path))

    def open(self) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", DIM)
        self.index.load_index(str(self.path))
        self.index.set_num_threads(1)

    def set(self, setting: int) -> None:
        self.index.set_ef(setting)

    def search(self, query: Array, kept: int) -> Sequence[int]:
        chosen = None if kept == 100 else lambda row: self.shares[row] < kept
        return self.index.knn_query(query, K, filter=chosen)[0][0].tolist()


class Usearch(Contender):
    settings = tuple(2**power for power in range(4, 12))

    def filtered(self) -> bool:
        return False

    def build(self) -> None:
        from usearch.index import Index

        index = Index(ndim=DIM, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
        for start, vectors in made(self.folder, self.rows):
            index.add(np.arange(start, start + len(vectors)), vectors, threads=1)
        index.save(str(self.path))

    def open(self) -> None:
        from usearch.index import Index

        self.index = Index.restore(str(self.path))

    def set(self, setting: int) -> None:
        self.index.expansion_search = setting

    def search(self, query: Array, kept: int) -> Sequence[int]:  # noqa: ARG002 (it has no filters)
        return self.index.search(query, K, threads=1).keys.tolist()


CONTENDERS: dict[str, tuple[type[Contender], str]] = {
    "tonggan": (Tonggan, "faiss"),
    "tonggan-exact": (TongganExact, "faiss"),
    "numpy": (Numpy, "numpy"),
    "faiss-flat": (FaissFlat, "faiss"),
    "faiss-flat-half": (FaissFlatHalf, "faiss"),
    "faiss-ivf": (FaissIvf, "faiss"),
    "faiss-hnsw": (FaissHnsw, "faiss"),
    "hnswlib": (Hnswlib, "hnswlib"),
    "usearch": (Usearch, "usearch"),
}

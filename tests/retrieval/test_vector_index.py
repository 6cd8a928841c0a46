import numpy as np
import pytest

from tonggan.retrieval import vector_index
from tonggan.retrieval.vector_index import VectorIndex

pytest.importorskip("faiss")


def unit_vectors(count: int, *, dim: int = 32, clusters: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((clusters, dim))
    vectors = centers[rng.integers(0, clusters, count)] + 0.5 * rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors():
    # FAISS rounds halves of the last place otherwise than IEEE 754; numbers that are rounded already stay.
    return unit_vectors(3_000).astype(np.float16).astype(np.float32)


def ids_of(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * 3 + 5


def built(ids: np.ndarray, vectors: np.ndarray) -> VectorIndex:
    """From pieces of a thousand rows."""
    starts = range(0, len(ids), 1_000)
    return VectorIndex.build(lambda: ((ids[at : at + 1_000], vectors[at : at + 1_000]) for at in starts))


def nearest(vectors: np.ndarray, query: np.ndarray, limit: int = 10) -> list[int]:
    return (np.argsort(-(vectors @ query), kind="stable")[:limit] * 3 + 5).tolist()


def test_exact_search_is_that_of_numpy_in_half_precision(vectors):
    index = built(ids_of(3_000), vectors)
    for query in vectors[:50] + np.float32(0.05):
        ids, scores = index.search(query, limit=10)
        assert ids.tolist() == nearest(vectors, query)
        np.testing.assert_allclose(scores, vectors[(ids - 5) // 3] @ query, rtol=1e-5)


def test_many_vectors_are_found_with_high_recall(vectors, monkeypatch):
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 1_000)
    index = built(ids_of(3_000), vectors)
    assert 1 <= index.probes < int(2 * 3_000**0.5)
    queries = vectors[::30] + 0.05 * np.random.default_rng(1).standard_normal((100, 32)).astype(np.float32)
    recall = [len(set(index.search(query, limit=10)[0].tolist()) & set(nearest(vectors, query))) for query in queries]
    assert np.mean(recall) / 10 >= 0.97
    for query in queries[:10]:
        third = ids_of(3_000)[::3]
        wanted = [row for row in nearest(vectors, query, 3_000) if row in set(third.tolist())][:10]
        assert index.search(query, limit=10, allowed=third)[0].tolist() == wanted


def test_questions_that_are_like_no_row_keep_the_recall(vectors, monkeypatch):
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 100)
    index = built(ids_of(3_000), vectors)
    rng = np.random.default_rng(3)
    queries = vectors[rng.integers(0, 3_000, 100)] + vectors[rng.integers(0, 3_000, 100)]
    found = [len(set(index.search(each, limit=10)[0].tolist()) & set(nearest(vectors, each))) for each in queries]
    assert np.mean(found) / 10 >= 0.98
    for query in queries[:10]:
        assert index.search(query, limit=10, exact=True)[0].tolist() == nearest(vectors, query)


def test_of_many_chosen_rows_cells_are_looked_into_where_these_lie(vectors, monkeypatch):
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 100)
    monkeypatch.setattr(vector_index, "_ALL_OF", 100)
    index = built(ids_of(3_000), vectors)
    looked_into = []
    searched = index._search_cells
    monkeypatch.setattr(index, "_search_cells", lambda *given: (looked_into.append(len(given[2])), searched(*given))[1])
    half = np.sort(np.random.default_rng(0).choice(ids_of(3_000), 1_500, replace=False))
    found = []
    for query in vectors[::100]:
        by_nearness = nearest(vectors, query, 3_000)
        for allowed in (half, np.sort(by_nearness[1_500:])):  # also where no allowed row is in the cells beside it
            wanted = [row for row in by_nearness if row in set(allowed.tolist())][:10]
            found.append(len(set(index.search(query, limit=10, allowed=allowed)[0].tolist()) & set(wanted)))
    assert np.mean(found) / 10 >= 0.98
    assert sum(looked_into) < 0.8 * len(found) * index._index.nlist
    query = vectors[0]
    gone = index.search(query, limit=3, allowed=half)[0]
    assert not set(index.search(query, limit=10, allowed=half, excluded=gone)[0].tolist()) & set(gone.tolist())
    index.add(ids_of(3_001)[3_000:], 2 * query[None])
    assert index.search(query, limit=1, allowed=np.append(half, 3_000 * 3 + 5))[0].tolist() == [3_000 * 3 + 5]


def test_builds_are_the_same_each_time(vectors, monkeypatch, tmp_path):
    monkeypatch.setattr(vector_index, "EXACT_ROWS", 1_000)
    for name in ("first", "second"):
        built(ids_of(3_000), vectors).write(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_mapped_index_finds_the_same_and_an_updated_one_what_it_holds(vectors, tmp_path):
    ids = ids_of(3_000)
    index = built(ids[:2_000], vectors[:2_000])
    index.write(tmp_path / "index")
    mapped = VectorIndex.read(tmp_path / "index", probes=index.probes)
    query = vectors[17]
    assert mapped.search(query, limit=10)[0].tolist() == index.search(query, limit=10)[0].tolist()
    assert mapped.search(query, limit=1, excluded=ids[17:18])[0].tolist() == nearest(vectors[:2_000], query, 2)[1:]

    updated = VectorIndex.read(tmp_path / "index", probes=index.probes, writable=True)
    updated.remove(ids[17:18])
    updated.add(ids[2_000:], vectors[2_000:].astype(np.float16))
    assert len(updated) == 2_999
    assert updated.search(query, limit=9)[0].tolist() == nearest(vectors, query)[1:]
    updated.remove(ids[:1])
    updated.add(ids[:1], -vectors[:1])
    assert len(updated) == 2_999
    assert updated.search(-vectors[0], limit=1)[0].tolist() == [5]


@pytest.mark.parametrize("limit", [-1, 0, 2, 3, 99])
def test_there_are_never_more_than_there_are(limit):
    index = built(np.array([4, 9, 1]), np.eye(3, dtype=np.float32))
    ids, scores = index.search(np.array([3.0, 2.0, 1.0], np.float32), limit=limit)
    assert ids.tolist() == [4, 9, 1][: max(limit, 0)]
    assert scores.tolist() == [3, 2, 1][: max(limit, 0)]
    assert index.search(np.ones(3, np.float32), limit=5, allowed=np.array([9, 77]))[0].tolist() == [9]
    assert index.search(np.ones(3, np.float32), limit=5, allowed=np.array([], np.int64))[0].tolist() == []


@pytest.mark.parametrize("content", [b"", b"no index", None])
def test_what_is_no_index_is_not_read(tmp_path, content):
    if content is not None:
        (tmp_path / "index").write_bytes(content)
    with pytest.raises(RuntimeError):
        VectorIndex.read(tmp_path / "index", probes=1)

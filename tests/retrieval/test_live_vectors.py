import numpy as np
import pytest

from retrieval_scene import DIM, fill, make_row, open_store, vector_of
from tonggan.errors import DataError
from tonggan.retrieval import live_vectors

pytest.importorskip("faiss")
pytest.importorskip("tantivy")


def test_many_rows_are_searched_alike_however_they_came(tmp_path, monkeypatch):
    monkeypatch.setattr(live_vectors, "_FEW", 50)
    with open_store(tmp_path) as store:
        fill(store, [make_row(number) for number in range(100)])
        assert len(list(tmp_path.glob("vectors-*.faiss"))) == 1
        first = next(tmp_path.glob("vectors-*.faiss")).name
        fill(store, [make_row(number) for number in range(90, 120)])  # 10 replaced, 20 new: too few to fold
        assert next(tmp_path.glob("vectors-*.faiss")).name == first
        with open_store(tmp_path) as other:
            for each in (store, other):
                for number in (0, 95, 119):
                    assert next(iter(each.search_vectors(vector_of(number)))) == f"row{number}"
                assert len(each.search_vectors(vector_of(0), limit=200)) == 120
        fill(store, [make_row(number) for number in range(120, 160)])
        assert next(tmp_path.glob("vectors-*.faiss")).name != first
        keys = store.search_vectors(vector_of(0), limit=200)
        assert len(keys) == 160
        vectors = dict(zip(*store.vectors_of(), strict=True))
        assert keys == pytest.approx({key: float(vectors[key] @ vector_of(0)) for key in keys}, abs=1e-4)
        with store.writing() as writer:
            writer.delete_group("g")
        assert store.search_vectors(vector_of(0)) == {}


def test_very_many_are_folded_while_more_are_to_come(tmp_path, monkeypatch):
    monkeypatch.setattr(live_vectors, "_FEW", 1_000)
    monkeypatch.setattr(live_vectors, "_MANY", 50)
    with open_store(tmp_path) as store, open_store(tmp_path) as reader, store.writing() as writer:
        waiting = []
        for first in range(0, 200, 40):
            writer.put(make_row(number) for number in range(first, first + 40))
            writer.commit()
            assert next(iter(reader.search_vectors(vector_of(first + 39)))) == f"row{first + 39}"
            waiting.append(len(reader._vectors._ids))
        assert waiting == [40, 0, 40, 0, 40]


def test_a_vector_can_be_set_and_replaced_later(tmp_path, monkeypatch):
    monkeypatch.setattr(live_vectors, "_FEW", 5)
    store = open_store(tmp_path)
    fill(store, [make_row(number) for number in range(20)])
    with store.writing() as changes:
        changes.set_vectors({"row3": vector_of(50)})
    for where in (None, {"group": "g"}):
        found = store.search_vectors(vector_of(50), limit=30, where=where)
        assert len(found) == 20
        assert next(iter(found.items())) == ("row3", pytest.approx(1, abs=1e-3))
    with pytest.raises(DataError, match="row 'row3'"), store.writing() as changes:
        changes.set_vectors({"row3": np.zeros(DIM + 1, np.float32)})
    store.close()


def test_the_cells_are_learned_anew_when_the_rows_have_doubled(tmp_path, monkeypatch):
    monkeypatch.setattr(live_vectors, "_FEW", 10)
    monkeypatch.setattr(live_vectors, "EXACT_ROWS", 100)
    monkeypatch.setattr("tonggan.retrieval.vector_index.EXACT_ROWS", 100)
    cells = []
    with open_store(tmp_path) as store:
        for first in range(0, 500, 50):
            fill(store, [make_row(number) for number in range(first, first + 50)])
            index = live_vectors.VectorIndex.read(next(tmp_path.glob("vectors-*.faiss")), probes=1)
            cells.append(index._index.nlist)
        assert len(index) == 500
        for number in (0, 250, 499):
            assert next(iter(store.search_vectors(vector_of(number)))) == f"row{number}"
    # At 150 rows no longer exact; at 350 more than twice as many as at 150.
    assert cells == [1, 1, *4 * [int(2 * 150**0.5)], *4 * [int(2 * 350**0.5)]]

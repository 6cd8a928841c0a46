import math

import numpy as np
import pytest

from tonggan.space.matches import MatchMeasure


def measured(
    left: list[list[float]], right: list[list[float]], *, contents=None, present=None, kinds=None
) -> MatchMeasure:
    count = len(left)
    rows = {}
    for name, vectors in (("a", left), ("b", right)):
        rows[f"{name}/vector"] = np.array(vectors, dtype=np.float32)
        rows[f"{name}/present"] = np.array((present or {}).get(name, [True] * count))
        rows[f"{name}/content"] = np.array((contents or {}).get(name, range(count)), dtype=np.int64)
    return MatchMeasure.of_rows(rows, kinds=kinds or {"a": "text", "b": "image"}, distance="cosine")


def test_ranks_and_gains_worked_by_hand():
    left = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    right = [[1.0, 0.1], [1.0, 0.9], [0.1, 1.0]]
    measure = measured(left, right)
    ranks, gains = measure.ranks["a", "b"]
    # Row 1 is nearest to right 2, then 1; row 2 to right 1, then the others alike, its own counted behind what ties.
    assert ranks.tolist()[:2] == [1, 2]
    assert gains[1] == pytest.approx(1 / math.log2(3))
    metrics = measure.metrics()
    assert metrics["a→b recall@1"] == pytest.approx(1 / 3)
    assert metrics["mrr"] == pytest.approx((metrics["a→b mrr"] + metrics["b→a mrr"]) / 2)


def test_what_has_the_same_content_is_right_as_well_and_found_once():
    left = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    right = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    alone = measured(left, right).ranks["a", "b"][0]
    shared = measured(left, right, contents={"a": [7, 7, 8]}).ranks["a", "b"][0]
    assert alone[0] > 1
    assert shared.tolist() == [1, 1, 2]  # row 0 shows the same left as row 1, whose right comes first
    once = measured(left, right, contents={"b": [5, 6, 5]})
    assert once.ranks["a", "b"][0].tolist() == [2, 1, 1]  # nothing ties with itself


def test_a_missing_side_is_neither_asked_for_nor_found():
    left, right = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.2]], [[1.0, 0.0], [0.2, 1.0], [1.0, 0.1]]
    whole = measured(left, right)
    lacking = measured(left, right, present={"b": [True, True, False]})
    assert np.isnan(lacking.ranks["a", "b"][0][2])
    assert lacking.ranks["a", "b"][0][0] == 1
    assert whole.metrics()["a→b recall@1"] <= lacking.metrics()["a→b recall@1"]
    none = measured(left, right, present={"b": [False] * 3})
    assert "mrr" not in none.metrics()
    assert none.score() == 0


def test_means_are_of_directions_between_different_kinds():
    rows = measured([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]).rows
    three = {**rows, **{name.replace("b/", "c/"): values[::-1] for name, values in rows.items() if name[0] == "b"}}
    three["c/content"] = rows["b/content"]
    measure = MatchMeasure(three, "mrr", True, kinds={"a": "text", "b": "image", "c": "text"})
    metrics = measure.metrics()
    across = [metrics[f"{pair} mrr"] for pair in ("a→b", "b→a", "b→c", "c→b")]
    assert metrics["mrr"] == pytest.approx(sum(across) / 4)


def test_counts_weigh_queries():
    measure = measured([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[1.0, 0.1], [1.0, 0.9], [0.1, 1.0]])
    ranks = measure.ranks["a", "b"][0]
    counts = np.array([3.0, 1.0, 0.0])
    assert measure.metrics(counts)["a→b recall@1"] == pytest.approx((counts @ (ranks <= 1)) / 4)
    assert measure.metrics(np.ones(3)) == measure.metrics()
    assert not measure.differs(measure).any()
    assert measure.worst(1).tolist() == [int(measure.badness().argmax())]


def test_more_rows_than_are_scored_at_once_give_the_same(monkeypatch):
    random = np.random.default_rng(0)
    left, right = random.normal(size=(30, 4)).tolist(), random.normal(size=(30, 4)).tolist()
    whole = measured(left, right).metrics()
    monkeypatch.setattr("tonggan.space.matches._QUERIES_AT_ONCE", 7)
    assert measured(left, right).metrics() == whole


def test_the_measure_of_parts_is_that_of_the_whole():
    random = np.random.default_rng(0)
    left, right = random.normal(size=(5, 4)), random.normal(size=(5, 4))
    whole = measured(left.tolist(), right.tolist())
    parts = [whole.take(np.array([row])) for row in range(5)]
    assert MatchMeasure.cat(parts).metrics() == whole.metrics()


def test_candidates_are_ranked_again_by_their_sets():
    """By their means both are alike, by their sets the right one comes first."""
    left = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]], dtype=np.float32)
    right = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.71, 0.7], [0.7, 0.71]]], dtype=np.float32)
    means = [side.mean(axis=1) for side in (left, right)]
    plain = measured(means[0].tolist(), means[1].tolist())
    assert plain.ranks["a", "b"][0].tolist() == [2, 2]  # those of row 0 are alike, which counts as behind
    rows = dict(plain.rows)
    for name, sets in (("a", left), ("b", right)):
        rows[f"{name}/tokens"], rows[f"{name}/mask"] = sets, np.ones((2, 2), dtype=bool)
    for matching in ("late_interaction", "transport"):
        again = MatchMeasure(rows, "mrr", True, kinds=plain.kinds, matching=matching, share=1.0)
        assert again.ranks["a", "b"][0].tolist()[0] == 1

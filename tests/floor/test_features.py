import numpy as np
import torch

from tonggan.floor.features import Reading

READING = Reading(
    np.array([True, False, True]),
    vectors=np.arange(6, dtype=np.float32).reshape(3, 2),
    texts=np.array(["one", None, "three"], dtype=object),
    cells=np.array([[1, 0], [np.nan, np.nan], [3, np.nan]], dtype=np.float32),
    categories=(0, 4),
)


def test_a_hidden_row_has_no_cell_left():
    kept = READING.keep(torch.tensor([False, True, True]))
    assert kept.present.tolist() == [False, False, True]
    assert np.isnan(kept.cells[0]).all()
    np.testing.assert_array_equal(kept.cells[2], READING.cells[2])
    assert READING.present[0], "the original is as it was"


def test_rows_are_taken_and_joined():
    parts = [READING.take(np.array([2])), READING.take(torch.tensor([0, 1]))]
    joined = Reading.cat(parts)
    assert joined.present.tolist() == [True, True, False]
    assert joined.texts.tolist() == ["three", "one", None]
    np.testing.assert_array_equal(joined.vectors, READING.vectors[[2, 0, 1]])
    np.testing.assert_array_equal(joined.cells, READING.cells[[2, 0, 1]])
    assert tuple(joined.categories) == (0, 4)


def test_what_is_not_read_stays_away():
    bare = Reading.cat([Reading(np.array([True])), Reading(np.array([False]))])
    assert (bare.vectors, bare.texts, bare.cells) == (None, None, None)
    assert bare.present.tolist() == [True, False]

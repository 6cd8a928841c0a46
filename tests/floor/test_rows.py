import numpy as np

from tonggan.floor.features import Reading
from tonggan.floor.rows import hide


def test_the_cells_of_a_column_are_hidden_together():
    cells = np.ones((500, 4), dtype=np.float32)
    reading = Reading(np.ones(500, dtype=bool), cells=cells, categories=[0, 0, 3, 0], columns=[[0, 1], [2], [3, 1]])
    hidden = hide({"table": reading}, np.random.default_rng(0))["table"].cells
    assert (np.isnan(hidden[:, 1]) == (np.isnan(hidden[:, 0]) | np.isnan(hidden[:, 3]))).all()
    assert 50 < (np.isnan(hidden[:, 0]) & ~np.isnan(hidden[:, 3])).sum() < 120
    assert 40 < (hidden[:, 2] == 0).sum() < 120

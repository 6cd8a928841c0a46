import numpy as np
import pytest
import torch

from tonggan.errors import DataError
from tonggan.evaluation.predict import collect

COLUMNS = {"left": np.array([1.0, 1.0, -1.0, -1.0]), "right": np.array([1.0, -1.0, 1.0, -1.0])}


def test_every_row_in_order_whatever_the_batch_size(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    outputs = collect(case.model, case.task, case.dataset.take(np.array([3, 0, 1])), batch_size=2)
    assert len(outputs) == 3
    torch.testing.assert_close(outputs.outputs, torch.tensor([[-2.1], [1.9], [-0.1]]))
    assert outputs.rows.tolist() == [3, 0, 1]
    assert outputs.target.tolist() == [0, 1, 0]


def test_the_model_keeps_its_mode_and_gets_no_gradient(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    case.model.train()
    assert not collect(case.model, case.task, case.dataset).outputs.requires_grad
    assert case.model.training


def test_no_rows(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    with pytest.raises(DataError, match="got no rows"):
        collect(case.model, case.task, case.dataset.take(np.array([], dtype=np.int64)))

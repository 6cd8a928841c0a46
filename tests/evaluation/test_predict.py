import numpy as np
import pytest
import torch

from tonggan.errors import DataError
from tonggan.evaluation.predict import measure_rows, predict_rows

COLUMNS = {"left": np.array([1.0, 1.0, -1.0, -1.0]), "right": np.array([1.0, -1.0, 1.0, -1.0])}


def measured(case, places, **options):
    return measure_rows(case.model, case.task, case.dataset.take(np.array(places)), **options)


def test_every_row_is_predicted_in_order(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    (found,) = predict_rows(case.model, case.dataset.take(np.array([3, 0, 1])), read=lambda prediction: prediction)
    torch.testing.assert_close(found["outputs"], torch.tensor([[-2.1], [1.9], [-0.1]]))


def test_the_batches_make_one_measure_beside_that_of_the_constant_answer(sums):
    columns = {name: np.tile(values, 150) for name, values in COLUMNS.items()}  # three batches
    case = sums(columns, np.tile([1, 0, 0, 0], 150))
    order = np.random.default_rng(0).permutation(600)
    found = measured(case, order)
    assert len(found) == len(found.measure) == len(found.constant) == 600
    assert np.array_equal(found.rows, order)
    assert (found.measure.score(), found.constant.score()) == (1.0, 0.75)
    some = found.take(np.array([2, 0]))
    assert some.rows.tolist() == order[[2, 0]].tolist()
    assert some.measure.rows["target"].tolist() == found.measure.rows["target"][[2, 0]].tolist()


def test_it_may_stop_early(sums):
    columns = {name: np.tile(values, 150) for name, values in COLUMNS.items()}
    case = sums(columns, np.tile([1, 0, 0, 0], 150))
    assert len(measured(case, range(600), enough=lambda: True)) == 256


def test_a_temperature_changes_the_model_and_no_constant_answer(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    found = measured(case, range(4))
    case.task.temperature = 3.0
    cooler = found.calibrated(case.task)
    assert cooler.measure.metrics()["log_loss"] != found.measure.metrics()["log_loss"]
    assert cooler.constant is found.constant


def test_the_model_keeps_its_mode_and_gets_no_gradient(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    case.model.train()
    (has_gradient,) = predict_rows(case.model, case.dataset, read=lambda found: found["outputs"].requires_grad)
    assert not has_gradient
    assert case.model.training


def test_no_rows(sums):
    case = sums(COLUMNS, np.array([1, 0, 0, 0]))
    with pytest.raises(DataError, match="got no rows"):
        measured(case, np.zeros(0, int))
    with pytest.raises(DataError, match="got no rows"):
        predict_rows(case.model, case.dataset.take(np.zeros(0, int)), read=len)

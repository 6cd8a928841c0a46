import numpy as np
import pytest
import torch

from tonggan.floor.base import Goal


@pytest.mark.parametrize(("form", "size"), [("classes", 2), ("classes", 4), ("labels", 3), ("numbers", 2)])
def test_predictions_become_outputs_of_a_head_and_back(form, size):
    goal = Goal(form, size)
    predictions = np.random.default_rng(0).random((5, size))
    if form == "classes":
        predictions /= predictions.sum(axis=1, keepdims=True)
    outputs = goal.outputs(predictions)
    assert outputs.shape == (5, 1 if (form, size) == ("classes", 2) else size)
    np.testing.assert_allclose(goal.predictions(outputs), predictions, atol=1e-6)


def test_sure_predictions_stay_finite():
    assert torch.isfinite(Goal("classes", 2).outputs(np.array([[0.0, 1.0], [1.0, 0.0]]))).all()
    assert torch.isfinite(Goal("classes", 3).outputs(np.eye(3))).all()
    assert torch.isfinite(Goal("labels", 3).outputs(np.eye(3))).all()


def test_losses_are_those_of_pytorch():
    random = np.random.default_rng(0)
    likely = random.dirichlet(np.ones(3), size=6)
    classes = random.integers(3, size=6)
    expected = torch.nn.functional.nll_loss(torch.from_numpy(likely).log(), torch.from_numpy(classes), reduction="none")
    np.testing.assert_allclose(Goal("classes", 3).losses(likely, classes), expected)
    labels = (random.random((6, 3)) > 0.5).astype(float)
    expected = torch.nn.functional.binary_cross_entropy(
        torch.from_numpy(likely), torch.from_numpy(labels), reduction="none"
    ).mean(dim=1)
    np.testing.assert_allclose(Goal("labels", 3).losses(likely, labels), expected)
    np.testing.assert_allclose(Goal("numbers", 3).losses(likely, labels), ((likely - labels) ** 2).mean(axis=1))

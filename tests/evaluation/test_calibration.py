import numpy as np
import pytest
import torch

from tonggan.evaluation.calibration import fit_temperature, negative_log_likelihood, reliability
from tonggan.tasks import Binary, BinaryConfig, Multiclass, MulticlassConfig, Regress, RegressConfig, Tag, TagConfig


def multiclass(num_classes: int) -> Multiclass:
    task = Multiclass(MulticlassConfig())
    task.fit([str(number) for number in range(num_classes)])
    return task


def test_the_temperature_that_spoiled_the_outputs_is_found_again():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 2
    target = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    task = multiclass(5)
    assert fit_temperature(task, 3 * logits, target) == pytest.approx(3, rel=0.05)
    task.temperature = 7.0  # whatever the task has now does not matter
    assert fit_temperature(task, 3 * logits, target) == pytest.approx(3, rel=0.05)


def test_the_temperature_has_the_least_log_loss():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(500, 1, generator=generator) * 4
    target = (torch.rand(500, generator=generator) < torch.sigmoid(logits[:, 0] / 2)).long()
    task = Binary(BinaryConfig())
    task.fit(["no", "yes"])
    best = fit_temperature(task, logits, target)
    losses = {}
    for factor in (0.95, 1.0, 1.05):
        task.temperature = best * factor
        losses[factor] = float(task.metrics(logits, target)["log_loss"])
    assert losses[1.0] < min(losses[0.95], losses[1.05])


def test_several_labels_and_numbers():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(5_000, 3, generator=generator) * 2
    target = (torch.rand(5_000, 3, generator=generator) < torch.sigmoid(logits)).float()
    tags = Tag(TagConfig())
    tags.fit(["a|b", "c"])
    assert fit_temperature(tags, 2 * logits, target) == pytest.approx(2, rel=0.1)
    numbers = Regress(RegressConfig())
    numbers.fit([1.0, 2.0])
    assert fit_temperature(numbers, torch.zeros(2, 1), torch.zeros(2, 1)) == 1.0


def test_log_likelihood_equals_scikit_learn():
    from sklearn.metrics import log_loss

    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
    target = torch.tensor([1, 2])
    assert float(negative_log_likelihood(probabilities, target).mean()) == pytest.approx(
        log_loss(target, probabilities, labels=[0, 1, 2])
    )


def test_reliability_worked_by_hand():
    probabilities = torch.tensor([[0.95, 0.05], [0.91, 0.09], [0.42, 0.58], [0.45, 0.55]])
    bins = reliability(probabilities, torch.tensor([0, 1, 1, 1]), num_bins=10)
    assert [(found.low, found.high, found.count) for found in bins] == [(0.5, 0.6, 2), (0.9, 1.0, 2)]
    assert [found.accuracy for found in bins] == [1.0, 0.5]
    np.testing.assert_allclose([found.confidence for found in bins], [0.565, 0.93], rtol=1e-6)
    assert bins[0].to_dict()["count"] == 2


def test_reliability_and_the_calibration_error_agree():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(400, 4, generator=generator)
    target = torch.randint(4, (400,), generator=generator)
    task = multiclass(4)
    probabilities = task.probabilities(logits.double())
    error = sum(found.count * abs(found.confidence - found.accuracy) for found in reliability(probabilities, target))
    assert error / 400 == pytest.approx(task.metrics(logits, target)["expected_calibration_error"])

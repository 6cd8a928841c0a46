"""The losses as functions; what the tasks make of them is tested with each task."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from tonggan.config import Config
from tonggan.errors import ConfigError
from tonggan.tasks.losses import LabelLossConfig, balanced_weights, binary_cross_entropy, cross_entropy

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 4, generator=GENERATOR)
CLASSES = torch.randint(4, (6,), generator=GENERATOR)
ANSWERS = torch.randint(2, (6, 4), generator=GENERATOR).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_focal_factor_it_is_torchs_cross_entropy(smoothing):
    config = LabelLossConfig(label_smoothing=smoothing)
    expected = F.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(cross_entropy(LOGITS, CLASSES, config=config, weights=None), expected)
    smoothed = ANSWERS * (1 - smoothing) + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(LOGITS, smoothed, reduction="none")
    torch.testing.assert_close(binary_cross_entropy(LOGITS, ANSWERS, config=config, weights=None), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_factor_as_the_paper_writes_it(gamma):
    config = LabelLossConfig(focal_gamma=gamma)
    chosen = LOGITS.softmax(dim=1)[torch.arange(6), CLASSES]
    expected = -((1 - chosen) ** gamma) * chosen.log()
    torch.testing.assert_close(cross_entropy(LOGITS, CLASSES, config=config, weights=None), expected)
    chosen = torch.where(ANSWERS == 1, torch.sigmoid(LOGITS), torch.sigmoid(-LOGITS))
    expected = -((1 - chosen) ** gamma) * chosen.log()
    torch.testing.assert_close(binary_cross_entropy(LOGITS, ANSWERS, config=config, weights=None), expected)


def test_gradients_are_finite_however_certain_the_model_is():
    logits = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    config = LabelLossConfig(focal_gamma=0.5)
    loss = cross_entropy(logits, torch.tensor([0, 0]), config=config, weights=None)
    loss = loss + binary_cross_entropy(logits, torch.tensor([[1, 0], [1, 0]]), config=config, weights=None).sum(dim=1)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


def test_half_precision_logits_lose_in_full_precision():
    loss = cross_entropy(LOGITS.bfloat16(), CLASSES, config=LabelLossConfig(), weights=None)
    assert loss.dtype == torch.float32


def test_balanced_weights_are_scikit_learns():
    classes = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=classes)
    np.testing.assert_allclose(balanced_weights(torch.tensor([6, 3, 1])).numpy(), expected, rtol=1e-6)


def test_weights_multiply_each_row():
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    plain = cross_entropy(LOGITS, CLASSES, config=LabelLossConfig(), weights=None)
    torch.testing.assert_close(
        cross_entropy(LOGITS, CLASSES, config=LabelLossConfig(), weights=weights), plain * weights[CLASSES]
    )
    loss = binary_cross_entropy(
        torch.zeros(1, 2),
        torch.tensor([[0, 1]]),
        config=LabelLossConfig(),
        weights=torch.tensor([[2.0, 9.0], [9.0, 3.0]]),
    )
    torch.testing.assert_close(loss, math.log(2) * torch.tensor([[2.0, 3.0]]))


def test_options_out_of_range_are_named():
    class Holder(Config):
        task: LabelLossConfig

    with pytest.raises(ConfigError, match=r"task\.focal_gamma = -1"):
        Holder.parse({"task": {"focal_gamma": -1}}, who="recipe")

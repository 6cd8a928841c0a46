"""Which parameters decay, and the learning rate over time, by hand."""

import math

import pytest
from torch import nn

from tonggan.training import TrainingConfig
from tonggan.training.optimizer import build_optimizer, learning_rate_at


def test_norms_biases_and_positions_do_not_decay():
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(3, 4),
            "norm": nn.LayerNorm(4),
            "position_embedding": nn.Embedding(5, 4),
            "frozen": nn.Linear(2, 2).requires_grad_(False),
        }
    )
    decayed, free = build_optimizer(model, TrainingConfig(weight_decay=0.3)).param_groups
    assert [parameter.shape for parameter in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.3
    assert len(free["params"]) == 4
    assert free["weight_decay"] == 0.0
    assert decayed["fused"]


def test_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    config = TrainingConfig(learning_rate=0.2, warmup=0.1)
    expected = {0.05: 0.1, 0.1: 0.2, 0.55: 0.1, 0.325: 0.1 * (1 + math.cos(math.pi / 4)), 1.0: 0.0, 1.1: 0.0}
    for progress, rate in expected.items():
        assert learning_rate_at(progress, config) == pytest.approx(rate, abs=1e-12)
    assert learning_rate_at(0.0, TrainingConfig(warmup=0.0)) == pytest.approx(1e-3)

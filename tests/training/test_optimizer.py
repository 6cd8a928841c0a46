"""Which parameters decay, and the learning rate over time, by hand."""

import math

import pytest
import torch
from torch import nn

from tonggan.training import TrainingConfig
from tonggan.training.optimizer import build_optimizer, learning_rate_at


class Encoder(nn.Module):
    """Says itself what of it does not decay."""

    undecayed = ("places", "table")

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.zeros(5, 4))
        self.table = nn.Embedding(6, 4)
        self.linear = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def test_norms_biases_and_what_a_module_names_do_not_decay():
    model = nn.Sequential(Encoder())
    decayed, free = build_optimizer(model, TrainingConfig(weight_decay=0.3)).param_groups
    assert [parameter.shape for parameter in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.3
    assert len(free["params"]) == 5
    assert free["weight_decay"] == 0.0
    assert decayed["fused"]


def test_a_module_scales_the_learning_rate_of_its_parameters():
    encoder = Encoder()
    encoder.learning_rate_scales = {"linear.weight": 0.5, "linear.bias": 0.5}
    groups = build_optimizer(nn.Sequential(encoder, nn.Linear(2, 2)), TrainingConfig(weight_decay=0.3)).param_groups
    assert [(group["scale"], group["weight_decay"], len(group["params"])) for group in groups] == [
        (1.0, 0.3, 1),
        (1.0, 0.0, 5),
        (0.5, 0.3, 1),
        (0.5, 0.0, 1),
    ]


def test_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    config = TrainingConfig(learning_rate=0.2, warmup=0.1)
    expected = {0.05: 0.1, 0.1: 0.2, 0.55: 0.1, 0.325: 0.1 * (1 + math.cos(math.pi / 4)), 1.0: 0.0, 1.1: 0.0}
    for progress, rate in expected.items():
        assert learning_rate_at(progress, config) == pytest.approx(rate, abs=1e-12)
    assert learning_rate_at(0.0, TrainingConfig(warmup=0.0)) == pytest.approx(1e-3)

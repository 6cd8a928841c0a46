"""Which parameters decay, and the learning rate over time, by hand."""

import math

import pytest
import torch
from torch import nn

from tonggan.training import TrainingConfig
from tonggan.training.optimizer import build_optimizer, is_orthogonalized, learning_rate_at, orthogonalize


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


@pytest.mark.parametrize("shape", [(40, 100), (100, 40), (64, 64)])
def test_an_orthogonalized_matrix_keeps_its_directions_and_loses_their_sizes(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    found = orthogonalize(matrix)
    values = torch.linalg.svdvals(found.float())
    assert found.dtype == matrix.dtype
    assert values.max() < 1.3
    assert values.median() > 0.6
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.9


def test_small_matrices_and_vectors_learn_by_adamw() -> None:
    head, hidden, filters = nn.Linear(64, 10), nn.Linear(64, 64), nn.Conv2d(8, 32, 3)
    assert [is_orthogonalized(each.weight) for each in (head, hidden, filters)] == [False, True, True]
    assert not is_orthogonalized(hidden.bias)
    model = nn.Sequential(filters, hidden, head)
    config = TrainingConfig(optimizer="muon", weight_decay=0.0)
    both = {}
    for name, each in (("adamw", TrainingConfig(weight_decay=0.0)), ("muon", config)):
        torch.manual_seed(0)
        for parameter in model.parameters():
            nn.init.normal_(parameter)
            parameter.grad = torch.randn_like(parameter)
        build_optimizer(model, each).step()
        both[name] = [parameter.detach().clone() for parameter in model.parameters()]
    same = [torch.equal(one, other) for one, other in zip(*both.values(), strict=True)]
    assert same == [False, True, False, True, True, True]


def test_a_step_is_about_as_long_as_one_of_adamw() -> None:
    layer = nn.Linear(48, 96, bias=False)
    before = layer.weight.detach().clone()
    torch.manual_seed(0)
    layer.weight.grad = torch.randn_like(layer.weight)
    build_optimizer(layer, TrainingConfig(optimizer="muon", weight_decay=0.0, learning_rate=0.01)).step()
    assert (layer.weight - before).detach().square().mean().sqrt().item() == pytest.approx(0.01 * 0.2, rel=0.2)


def test_a_step_that_is_not_finite_is_none() -> None:
    layer = nn.Linear(48, 48)
    before = layer.weight.detach().clone()
    optimizer = build_optimizer(layer, TrainingConfig(optimizer="muon"))
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(layer.weight, before)
    assert not optimizer.state[layer.weight]["momentum"].any()

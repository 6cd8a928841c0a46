import pytest
import torch
from torch import nn

from tonggan.training import TrainingConfig
from tonggan.training.muon import is_orthogonalized, orthogonalize
from tonggan.training.optimizer import build_optimizer


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

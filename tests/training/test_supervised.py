import pytest
import torch
from torch import nn

from tonggan.decoders import LinearHeadConfig
from tonggan.fusion import ConcatConfig
from tonggan.models import FusedModel
from tonggan.tasks import BinaryConfig, MulticlassConfig
from tonggan.tokens import Arrays, Batch, Tokens
from tonggan.training.supervised import Auxiliary, Supervised


class Linear(nn.Module):
    """Arrays [B, L, 4] to Tokens [B, L, 8]."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 8)

    def forward(self, arrays):
        return Tokens(self.layer(arrays.values), arrays.mask)


@pytest.fixture
def scene():
    torch.manual_seed(0)
    task, kind = BinaryConfig().build(), MulticlassConfig().build()
    task.fit(["yes", "no"])
    kind.fit(["a", "b", "c"])
    model = FusedModel(
        {"one": Linear(), "other": Linear()},
        fusion=ConcatConfig().build(("one", "other"), dim=8),
        head=LinearHeadConfig().build(8, num_outputs=task.num_outputs),
    )
    heads = {"kind": LinearHeadConfig().build(8, num_outputs=3)}
    objective = Supervised(model, task, auxiliaries={"kind": Auxiliary(kind, "one", 0.5)}, heads=heads)
    mask = torch.ones(4, 2, dtype=torch.bool)
    mask[3] = False
    batch = Batch(
        torch.arange(4),
        {"one": Arrays(torch.randn(4, 2, 4), mask), "other": Arrays(torch.randn(4, 2, 4), torch.ones_like(mask))},
        task.encode(["yes", "no", "no", "yes"]),
        {"kind": kind.encode(["a", "b", "c", "c"])},
    )
    return task, kind, model, objective, batch


def test_the_loss_is_the_weighted_sum_over_rows_that_show_the_auxiliary_target(scene):
    task, kind, model, objective, batch = scene
    head = objective.heads[0](model.encode(batch.inputs)["one"])
    losses = objective.losses(batch)
    assert list(losses) == ["loss", "auxiliary/kind"]
    torch.testing.assert_close(losses["loss"], task.loss(model(batch.inputs), batch.target))
    torch.testing.assert_close(
        losses["auxiliary/kind"], 0.5 * kind.outputs_loss(head, batch.auxiliary["kind"])[:3].mean()
    )


def test_predictions_and_scores_are_the_tasks_own(scene):
    task, _, model, objective, batch = scene
    outputs = objective.predict(batch)
    torch.testing.assert_close(outputs, model(batch.inputs))
    measure = objective.measure(outputs, batch.target)
    assert measure.metrics() == task.measure(outputs, batch.target).metrics()
    torch.testing.assert_close(objective.row_losses(outputs, batch.target), task.outputs_loss(outputs, batch.target))
    assert (objective.score_name, objective.greater_is_better) == (task.score_name, task.greater_is_better)


def test_gradients_reach_encoder_and_head(scene):
    *_, objective, batch = scene
    sum(objective.losses(batch).values()).backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


def test_shared_arrays_are_expanded_to_the_rows_of_the_batch(scene):
    *_, objective, batch = scene
    arrays = batch.inputs["one"]
    index = torch.tensor([0, 0, 1, 2])
    shared = Arrays(arrays.values[[0, 2, 3]], arrays.mask[[0, 2, 3]], index)
    copied = Batch(batch.rows, {**batch.inputs, "one": shared.expand()}, batch.target, batch.auxiliary)
    once = Batch(batch.rows, {**batch.inputs, "one": shared}, batch.target, batch.auxiliary)
    torch.testing.assert_close(objective.losses(once), objective.losses(copied))

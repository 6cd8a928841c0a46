import copy

import pytest
import torch
from torch import nn

from tonggan.decoders import TARGET, Context, LinearHeadConfig
from tonggan.fusion import ConcatConfig
from tonggan.models import FusedModel
from tonggan.tasks import BinaryConfig, MulticlassConfig
from tonggan.tokens import Arrays, Batch, Tokens
from tonggan.training.supervised import Auxiliary, Distillation, Supervised


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
        head=LinearHeadConfig().build(8, answer=task.answer),
    )
    heads = {"kind": LinearHeadConfig().build(8, answer=kind.answer)}
    objective = Supervised(model, task, auxiliaries={"kind": Auxiliary(kind, "one", 0.5)}, heads=heads)
    mask = torch.ones(4, 2, dtype=torch.bool)
    mask[3] = False
    batch = Batch(
        torch.arange(4),
        {"one": Arrays(torch.randn(4, 2, 4), mask), "other": Arrays(torch.randn(4, 2, 4), torch.ones_like(mask))},
        {
            TARGET: task.target.collate(["yes", "no", "no", "yes"]),
            "kind": kind.target.collate(["a", "b", "c", "c"]),
        },
    )
    return task, kind, model, objective, batch


def test_the_loss_is_the_weighted_sum_over_rows_that_show_the_auxiliary_target(scene):
    task, kind, model, objective, batch = scene
    said = objective.heads[0].read(model.encode(batch.inputs)["one"])
    losses = objective.losses(batch)
    assert list(losses) == ["loss", "auxiliary/kind"]
    own = task.row_losses(model(batch.inputs)["outputs"], batch.targets[TARGET].values)
    torch.testing.assert_close(losses["loss"], own.mean())
    further = kind.row_losses(said, batch.targets["kind"].values)
    torch.testing.assert_close(losses["auxiliary/kind"], 0.5 * further[:3].mean())


def test_predictions_and_scores_are_the_tasks_own(scene):
    task, _, model, objective, batch = scene
    prediction = objective.predict(batch)
    torch.testing.assert_close(prediction["outputs"], model(batch.inputs)["outputs"])
    found, expected = (each.measure(prediction.cpu(), batch.targets) for each in (objective, task))
    assert found.metrics() == expected.metrics()
    own = task.row_losses(prediction["outputs"], batch.targets[TARGET].values)
    torch.testing.assert_close(prediction["loss"], own)
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
    copied = Batch(batch.rows, {**batch.inputs, "one": shared.expand()}, batch.targets)
    once = Batch(batch.rows, {**batch.inputs, "one": shared}, batch.targets)
    torch.testing.assert_close(objective.losses(once), objective.losses(copied))


def student_of(scene, *, form="classes", **options):
    task, _, teacher, _, batch = scene
    student = copy.deepcopy(teacher)
    for weight in student.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return Distillation(student, task, teacher=teacher, form=form, **options), batch


def test_a_student_that_says_what_its_teacher_says_has_least_to_learn(scene):
    task, _, teacher, _, batch = scene
    own, _ = student_of(scene)
    same = Distillation(copy.deepcopy(teacher), task, teacher=teacher, form="classes")
    assert same.losses(batch)["teacher/outputs"] < own.losses(batch)["teacher/outputs"]
    numbers = Distillation(copy.deepcopy(teacher), task, teacher=teacher, form="numbers")
    assert numbers.losses(batch)["teacher/outputs"] == 0


def test_the_divergence_of_several_classes_by_hand(scene):
    objective, _ = student_of(scene, temperature=2.0)
    said, told = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.0, 3.0, 1.0]])
    shares, goal = (said / 2).softmax(dim=1), (told / 2).softmax(dim=1)
    expected = 4 * (goal * (goal.log() - shares.log())).sum()
    torch.testing.assert_close(objective._distance(said, told), expected)


def test_only_the_student_and_its_projection_learn(scene):
    objective, batch = student_of(scene, widths=(8, 8))
    teacher = scene[2]
    losses = objective.losses(batch)
    assert list(losses) == ["loss", "teacher/outputs", "teacher/features"]
    sum(losses.values()).backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert objective.projection.weight.grad is not None
    learned = {id(weight) for weight in objective.parameters()}
    assert not learned & {id(weight) for weight in teacher.parameters()}


def test_what_is_dropped_for_the_student_is_hidden_from_its_teacher(scene):
    objective, batch = student_of(scene)
    teacher, model = scene[2], objective.model
    model.modality_dropout = 0.9
    model.train()
    torch.manual_seed(1)
    dropped = model.dropped(model.encode(batch.inputs))
    assert any(not part.present.all() for part in dropped.values())
    with torch.no_grad():
        hidden = {name: part.keep(dropped[name].present) for name, part in teacher.encode(batch.inputs).items()}
        taught = teacher.answer(hidden, batch.inputs)["outputs"]
        torch.manual_seed(1)
        found = objective.losses(batch)["teacher/outputs"]
        said = model.head(Context(model.fuse(dropped), dropped, batch.inputs))["outputs"]
        torch.testing.assert_close(found, objective.share * objective._distance(said, taught))

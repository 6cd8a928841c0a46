import time

import numpy as np
import pytest
import torch
from torch import Tensor

from tonggan.evaluation.intervals import bootstrap, resample
from tonggan.tasks import Binary, BinaryConfig, Multiclass, MulticlassConfig, Regress, RegressConfig, Tag, TagConfig
from tonggan.tasks.base import Task


def example(kind: str, num_rows: int, *, seed: int = 0) -> tuple[Task, Tensor, Tensor]:
    """A task with outputs that are often right."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "regression":
        task: Task = Regress(RegressConfig())
        task.fit([[1.0, 20.0], [3.0, 60.0], [4.0, 10.0]])
        target = torch.randn(num_rows, 2, generator=generator)
        return task, target + torch.randn(num_rows, 2, generator=generator), target
    if kind == "multilabel":
        task = Tag(TagConfig())
        task.fit(["a|b", "c"])
        target = (torch.rand(num_rows, 3, generator=generator) > 0.6).float()
        return task, 2 * target - 1 + torch.randn(num_rows, 3, generator=generator), target
    num_classes = 2 if kind == "binary" else 4
    task = Binary(BinaryConfig()) if kind == "binary" else Multiclass(MulticlassConfig())
    task.fit([str(number) for number in range(num_classes)])
    target = torch.randint(num_classes, (num_rows,), generator=generator)
    if kind == "binary":
        return task, (target * 2.0 - 1 + torch.randn(num_rows, generator=generator)).unsqueeze(1), target
    noise = torch.randn(num_rows, num_classes, generator=generator).round(decimals=1)  # with equal scores
    return task, 1.5 * torch.nn.functional.one_hot(target, num_classes) + noise, target


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_each_draw_equals_the_metric_of_the_drawn_rows(kind):
    task, outputs, target = example(kind, 60)
    samples = resample(task, outputs, target, seed=5, repeats=8)
    assert set(samples) == set(task.metrics(outputs, target))
    generator = np.random.default_rng(5)
    for repeat in range(8):
        drawn = torch.from_numpy(generator.integers(60, size=60))
        for name, value in task.metrics(outputs[drawn], target[drawn]).items():
            assert samples[name][repeat] == pytest.approx(value, abs=1e-6), name


def test_the_interval_of_an_accuracy_is_close_to_the_normal_one():
    task, outputs, target = example("binary", 2000)
    accuracy = task.score(outputs, target)
    low, high = bootstrap(task, outputs, target, seed=0)["accuracy"]
    half = 1.96 * (accuracy * (1 - accuracy) / 2000) ** 0.5
    assert low == pytest.approx(accuracy - half, abs=0.003)
    assert high == pytest.approx(accuracy + half, abs=0.003)
    assert bootstrap(task, outputs, target, seed=0)["accuracy"] == (low, high)


def test_what_is_undefined_on_all_rows_has_no_interval():
    task, outputs, _ = example("binary", 50)
    intervals = bootstrap(task, outputs, torch.ones(50, dtype=torch.int64), seed=0, repeats=50)
    assert "accuracy" in intervals
    assert "roc_auc" not in intervals


def test_one_row():
    task, outputs, target = example("regression", 1)
    low, high = bootstrap(task, outputs, target, seed=0, repeats=20)["mae"]
    assert low == high


def test_ten_thousand_rows_are_quick():
    task, outputs, target = example("multiclass", 10_000)
    start = time.process_time()
    assert "roc_auc_ovr" in bootstrap(task, outputs, target, seed=0)
    assert time.process_time() - start < 20  # about 2 s on an idle core


def test_a_draw_without_the_rare_class_does_not_look_better():
    task = Binary(BinaryConfig())
    task.fit(["no"] * 98 + ["yes"] * 2)
    target = (torch.arange(200) < 2).long()
    intervals = bootstrap(task, torch.full((200, 1), -1.0), target, seed=0)
    assert intervals["balanced_accuracy"] == (0.5, 0.5)
    assert intervals["recall_macro"] == (0.5, 0.5)
    assert intervals["f1_macro"][1] <= 0.5
    assert intervals["f1_rare"] == (0.0, 0.0)


def test_the_metrics_of_the_rare_class_are_drawn_like_the_others():
    task = Binary(BinaryConfig())
    task.fit(["no"] * 90 + ["yes"] * 10)
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(300) < 30).long()
    outputs = (2.0 * target - 1 + torch.randn(300, generator=generator)).unsqueeze(1)
    samples = resample(task, outputs, target, seed=5, repeats=4)
    generator = np.random.default_rng(5)
    for repeat in range(4):
        drawn = torch.from_numpy(generator.integers(300, size=300))
        expected = task.metrics(outputs[drawn], target[drawn])
        for name in ("f1_rare", "precision_rare", "recall_rare", "balanced_accuracy"):
            assert samples[name][repeat] == pytest.approx(expected[name]), name


@pytest.mark.parametrize("name", ["accuracy", "roc_auc"])
def test_one_metric_alone_has_the_same_draws(name):
    task, outputs, target = example("binary", 60)
    (alone,) = resample(task, outputs, target, seed=5, repeats=8, only=name).items()
    assert alone[0] == name
    assert np.array_equal(alone[1], resample(task, outputs, target, seed=5, repeats=8)[name])

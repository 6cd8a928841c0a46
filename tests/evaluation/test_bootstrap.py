from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

from tonggan.decoders import TARGET
from tonggan.evaluation.bootstrap import gain_interval, intervals, resample, score_draws, seconds_per_draw
from tonggan.tasks import Binary, BinaryConfig, Multiclass, MulticlassConfig, Regress, RegressConfig, Tag, TagConfig
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure, Reducer
from tonggan.tokens import Arrays, Prediction


def measured(task: Task, outputs: torch.Tensor, target: torch.Tensor) -> Measure:
    return task.measure(Prediction({"outputs": outputs}), {TARGET: Arrays.whole(target)})


def example(kind: str, num_rows: int, *, seed: int = 0) -> Measure:
    """Of a task with outputs that are often right."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "regression":
        task: Task = Regress(RegressConfig())
        task.fit([[1.0, 20.0], [3.0, 60.0], [4.0, 10.0]])
        target = torch.randn(num_rows, 2, generator=generator)
        return measured(task, target + torch.randn(num_rows, 2, generator=generator), target)
    if kind == "multilabel":
        task = Tag(TagConfig())
        task.fit(["a|b", "c"])
        target = (torch.rand(num_rows, 3, generator=generator) > 0.6).float()
        return measured(task, 2 * target - 1 + torch.randn(num_rows, 3, generator=generator), target)
    num_classes = 2 if kind == "binary" else 4
    task = Binary(BinaryConfig()) if kind == "binary" else Multiclass(MulticlassConfig())
    task.fit([str(number) for number in range(num_classes)])
    target = torch.randint(num_classes, (num_rows,), generator=generator)
    if kind == "binary":
        return measured(task, (target * 2.0 - 1 + torch.randn(num_rows, generator=generator)).unsqueeze(1), target)
    noise = torch.randn(num_rows, num_classes, generator=generator).round(decimals=1)  # with equal scores
    return measured(task, 1.5 * torch.nn.functional.one_hot(target, num_classes) + noise, target)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_each_draw_equals_the_metric_of_the_drawn_rows(kind):
    measure = example(kind, 60)
    samples = resample(measure, seed=5, repeats=8)
    assert list(samples) == list(measure.metrics())
    scores = score_draws(measure, seed=5, repeats=8)
    generator = np.random.default_rng(5)
    for repeat in range(8):
        drawn = measure.take(generator.integers(60, size=60))
        for name, value in drawn.metrics().items():
            assert samples[name][repeat] == pytest.approx(value, abs=1e-6), name
        assert scores[repeat] == pytest.approx(drawn.score(), abs=1e-6)


def test_the_interval_of_an_accuracy_is_close_to_the_normal_one():
    measure = example("binary", 2000)
    accuracy = measure.score()
    low, high = intervals(measure, seed=0)["accuracy"]
    half = 1.96 * (accuracy * (1 - accuracy) / 2000) ** 0.5
    assert low == pytest.approx(accuracy - half, abs=0.003)
    assert high == pytest.approx(accuracy + half, abs=0.003)
    assert intervals(measure, seed=0)["accuracy"] == (low, high)


def test_what_is_undefined_on_all_rows_has_no_interval():
    measure = example("binary", 50)
    found = intervals(replace(measure, rows={**measure.rows, "target": np.ones(50, int)}), seed=0, repeats=50)
    assert "accuracy" in found
    assert "roc_auc" not in found


def test_one_row():
    low, high = intervals(example("regression", 1), seed=0, repeats=20)["mae"]
    assert low == high


@dataclass(frozen=True, eq=False)
class Counting(Measure):
    """How often its two metrics were asked for, one of which sorts through ``work`` numbers."""

    asked: dict[str, int]
    work: int

    def make_reducers(self):
        return [Reducer([name], partial(self._ask, name), work) for name, work in (("mean", 0), ("dear", self.work))]

    def _ask(self, name, counts):
        self.asked[name] = self.asked.get(name, 0) + 1
        return [counts @ self.rows["numbers"]]

    def badness(self):
        return self.rows["numbers"]

    def differs(self, other):
        return self.rows["numbers"] != other.rows["numbers"]


@pytest.mark.parametrize(("work", "draws"), [(0, 1000), (300_000, 1000), (1_000_000, 300), (4_000_000, 0)])
def test_what_is_dear_is_drawn_less_often_or_not_at_all(work, draws):
    measure = Counting({"numbers": np.arange(4.0)}, "mean", True, {}, work)
    found = intervals(measure, seed=0)
    assert set(found) == ({"mean", "dear"} if draws else {"mean"})
    assert measure.asked == {"mean": 1001, "dear": draws + 1}, "once on all rows"
    assert len(score_draws(replace(measure, score_name="dear"), seed=0)) == draws
    assert seconds_per_draw(measure) > 0


def test_the_interval_of_a_gain_is_paired_and_greater_is_always_better():
    draws, other = np.array([0.5, 0.6, np.nan, 0.7]), np.array([0.4, 0.4, 0.4, 0.4])
    low, high = gain_interval(draws, other, greater_is_better=True)
    assert 0.1 < low < high < 0.3
    assert gain_interval(draws, other, greater_is_better=False) == pytest.approx((-high, -low))
    assert gain_interval(draws[1:3], other[1:3], greater_is_better=True) is None, "half of the draws have no score"
    assert gain_interval(draws[:0], other[:0], greater_is_better=True) is None


def test_a_draw_without_the_rare_class_does_not_look_better():
    task = Binary(BinaryConfig())
    task.fit(["no"] * 98 + ["yes"] * 2)
    target = (torch.arange(200) < 2).long()
    found = intervals(measured(task, torch.full((200, 1), -1.0), target), seed=0)
    assert found["balanced_accuracy"] == (0.5, 0.5)
    assert found["recall_macro"] == (0.5, 0.5)
    assert found["f1_macro"][1] <= 0.5
    assert found["f1_rare"] == (0.0, 0.0)


def test_the_metrics_of_the_rare_class_are_drawn_like_the_others():
    task = Binary(BinaryConfig())
    task.fit(["no"] * 90 + ["yes"] * 10)
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(300) < 30).long()
    outputs = (2.0 * target - 1 + torch.randn(300, generator=generator)).unsqueeze(1)
    measure = measured(task, outputs, target)
    samples = resample(measure, seed=5, repeats=4)
    generator = np.random.default_rng(5)
    for repeat in range(4):
        expected = measure.take(generator.integers(300, size=300)).metrics()
        for name in ("f1_rare", "precision_rare", "recall_rare", "balanced_accuracy"):
            assert samples[name][repeat] == pytest.approx(expected[name]), name


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_the_score_alone_has_the_same_draws(kind):
    measure = example(kind, 60)
    alone = score_draws(measure, seed=5, repeats=8)
    assert np.array_equal(alone, resample(measure, seed=5, repeats=8)[measure.score_name])

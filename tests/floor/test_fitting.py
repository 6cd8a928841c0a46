"""Members within their time."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
import pytest

from contracts import example_rows
from tonggan.floor import CannotFitError, Examples, Goal, Member, MemberConfig
from tonggan.floor.features import Reading
from tonggan.floor.fitting import fit_members
from tonggan.floor.forest import ExtraTreesConfig
from tonggan.floor.linear import LinearConfig
from tonggan.floor.small_network import NetworkConfig
from tonggan.floor.svm import SvmConfig
from tonggan.floor.tfidf import TfidfConfig
from tonggan.layers.cores import num_threads
from tonggan.progress import Progress


class SlowConfig(LinearConfig):
    """A linear model that answers slowly; a variant, which is no kind of its own."""

    cost: ClassVar[int] = 2

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        member = super().fit(examples, goal, seed=seed, seconds=seconds)
        predict = member.predict

        def slowly(features):  # type: ignore[no-untyped-def]
            time.sleep(0.01 * len(features["table"]))
            return predict(features)

        member.predict = slowly  # type: ignore[method-assign]
        return member


@pytest.mark.parametrize(("seconds", "is_kept"), [(1.5, False), (float("inf"), True)])
def test_a_member_that_would_answer_for_too_long_is_left_out(seconds: float, *, is_kept: bool) -> None:
    examples, goal = example_rows("classes", rows=400)
    members: dict[str, MemberConfig] = {"linear": LinearConfig(), "slow": SlowConfig()}
    rows = np.arange(400)
    fitted = fit_members(
        members, examples.features, examples.targets, examples.weights, goal,
        folds=[(rows[:100], rows[100:])], most=5, seed=0, seconds=seconds, progress=Progress(),
    )  # fmt: skip
    linear, slow = fitted.tried
    assert linear.problem is None
    assert (slow.problem is None) == is_kept
    assert is_kept or "that predictions would take" in str(slow.problem)


class _Clock:
    """A clock that goes on by ``step`` seconds whenever it is looked at."""

    def __init__(self, step: float) -> None:
        self.step, self.now = step, 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


def test_no_member_begins_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    examples, goal = example_rows("classes", rows=100)
    monkeypatch.setattr("tonggan.floor.fitting.time", _Clock(5.0))
    monkeypatch.setattr(SlowConfig, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    rows = np.arange(100)
    fitted = fit_members(
        {"linear": LinearConfig(), "slow": SlowConfig()},
        examples.features, examples.targets, examples.weights, goal,
        folds=[(rows[:50], rows[50:]), (rows[50:], rows[:50])], most=5, seed=0, seconds=9.0, progress=Progress(),
    )  # fmt: skip
    assert fitted.tried[0].problem is None
    assert "no time left after the members before" in str(fitted.tried[1].problem)


def test_a_member_that_fails_on_one_fold_is_not_fitted_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    examples, goal = example_rows("classes", rows=100)
    calls = []

    def fails(*_: object, **__: object) -> Member:
        calls.append(1)
        raise CannotFitError("slow", got="these rows", expected="others", remedy="Leave it out")

    monkeypatch.setattr(SlowConfig, "fit", fails)
    rows = np.arange(100)
    folds = [(np.delete(rows, rows[start::4]), rows[start::4]) for start in range(4)]
    with num_threads(1):
        fitted = fit_members(
            {"linear": LinearConfig(), "slow": SlowConfig()},
            examples.features, examples.targets, examples.weights, goal,
            folds=folds, most=5, seed=0, seconds=float("inf"), progress=Progress(),
        )  # fmt: skip
    assert len(calls) == 1
    assert "these rows" in str(fitted.tried[1].problem)


@pytest.mark.parametrize(
    ("module", "config", "seconds"),
    [
        ("forest", ExtraTreesConfig(), 40.0),
        ("linear_fit", LinearConfig(), 12.0),
        ("small_network", NetworkConfig(), 30.0),
    ],
)
def test_a_member_leaves_off_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, module: str, config: MemberConfig, seconds: float
) -> None:
    examples, goal = example_rows("classes", rows=300)
    clock = _Clock(1.0)
    monkeypatch.setattr(f"tonggan.floor.{module}.time", clock)
    if module == "linear_fit":  # the member asks its own clock for the beginning
        monkeypatch.setattr("tonggan.floor.linear.time", clock)
    predicted = config.fit(examples, goal, seed=0, seconds=seconds).predict(examples.features)
    assert clock.now < 1.5 * seconds
    assert np.isfinite(predicted).all()


def test_support_vector_machines_are_left_out_where_a_few_rows_tell_that_they_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples, goal = example_rows("classes", rows=1200)
    monkeypatch.setattr("tonggan.floor.svm.time", _Clock(1.0))
    monkeypatch.setattr("tonggan.floor.svm._scores", lambda *_: pytest.fail("all rows were fitted"))
    with pytest.raises(CannotFitError, match="the time was too short"):
        SvmConfig().fit(examples, goal, seed=0, seconds=60.0)


def test_words_are_counted_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = np.array([f"word{number % 7} and more" for number in range(50)], dtype=object)
    features = {"text": Reading(np.ones(50, dtype=bool), texts=texts)}
    monkeypatch.setattr("tonggan.floor.tfidf.time", _Clock(1.0))
    with pytest.raises(CannotFitError, match="of 50 texts counted"):
        TfidfConfig().fit(Examples(features, np.arange(50) % 2, np.ones(50)), Goal("classes", 2), seed=0, seconds=20.0)

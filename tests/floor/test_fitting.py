"""Members within their time."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
import pytest

from contracts import example_rows
from tonggan.floor import Examples, Goal, Member, MemberConfig
from tonggan.floor.fitting import fit_members
from tonggan.floor.linear import LinearConfig
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

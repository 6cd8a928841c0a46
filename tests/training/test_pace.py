"""What there is time for, and that each measurement corrects it in both directions."""

import time

import pytest

from tonggan.training import Budget
from tonggan.training.pace import Following, Pace


def pace(*, seconds: float | None = 100.0, reserved: float = 10.0, closing=None, trainings: int = 0) -> Pace:
    budget = Budget(seconds)
    budget.reserve(reserved)
    return Pace(budget, total_steps=1000, evaluate_every=10, following=Following(closing, trainings))


def with_steps(made: Pace, *, seconds: float, number: int = 20) -> Pace:
    for _ in range(number):
        made.step_took(seconds)
    return made


def test_an_evaluation_measured_in_a_bad_moment_leaves_most_of_the_time_to_the_steps():
    made = with_steps(pace(), seconds=1.4)
    made.evaluation_took(10.0, share=0.01)
    assert made.evaluation_seconds == pytest.approx(1000)
    assert made.done(2) < 0.01, "training has hardly begun"
    assert "about 50 of" in made.plan(2)  # 0.75 x 90 s of 1.4 s each, and the two that are done


def test_an_evaluation_is_as_much_faster_as_the_steps_are_since():
    made = with_steps(pace(), seconds=1.0)
    made.evaluation_took(4.0, share=0.5)
    assert made.evaluation_seconds == pytest.approx(8)
    with_steps(made, seconds=0.25)
    assert made.evaluation_seconds == pytest.approx(2)
    with_steps(made, seconds=2.0)
    assert made.evaluation_seconds == pytest.approx(16)


def test_the_first_step_counts_only_until_there_is_another():
    made = pace()
    made.step_took(5.0)
    assert made.seconds_per_step == 5.0
    assert not made.is_known(soon=True)
    made.step_took(0.1)
    assert made.seconds_per_step == 0.1
    assert made.is_known(soon=True)
    assert not made.is_known(soon=False)


@pytest.mark.parametrize(("measured", "end"), [(2.0, 98.0), (30.0, 70.0)])
def test_what_follows_is_measured_again_at_the_end_and_the_training_goes_on_or_ends_earlier(measured, end):
    answers = iter([20.0, measured, 1.0])
    made = pace(closing=lambda: next(answers))
    made.revise(at_end=True)
    assert made.budget.end == 90.0, "there was no time to measure it before"
    made.revise(at_end=False)
    assert made.budget.end == 80.0
    made.revise(at_end=True)
    assert made.budget.end == end
    made.revise(at_end=True)
    assert made.budget.end == end, "once"


def test_without_a_limit_nothing_depends_on_the_clock():
    made = with_steps(pace(seconds=None, closing=lambda: 7.0), seconds=0.5)
    made.evaluation_took(100.0, share=1.0)
    assert made.done(499) == 0.4995
    assert made.evaluation_share == 0
    made.revise(at_end=True)
    assert made.plan(1000 - 20) == "1,000 steps, about 3 min 30 s; the whole run with all that follows about 3 min 37 s"


def test_what_follows_a_short_training_is_not_measured_only_to_be_told():
    made = with_steps(pace(seconds=None, closing=lambda: pytest.fail("is measured")), seconds=0.009)
    assert made.plan(0) == "1,000 steps, about 9 s"
    assert "whole run" in with_steps(pace(seconds=None, closing=lambda: 7.0), seconds=0.011).plan(0)
    assert "whole run" in with_steps(pace(closing=lambda: 7.0), seconds=0.009).plan(0)


def test_the_whole_run_counts_further_trainings_and_ends_at_the_limit():
    free = with_steps(pace(seconds=None, closing=lambda: 10.0, trainings=2), seconds=0.1)
    assert free.plan(0).endswith("about 5 min 10 s")
    assert with_steps(pace(closing=lambda: 10.0, trainings=2), seconds=1.0).plan(0).endswith("about 1 min 40 s")


def test_an_evaluation_on_the_way_may_take_a_quarter_of_the_time_since_the_last_one():
    made = with_steps(pace(), seconds=1.0)
    made.evaluation_took(5.0, share=1.0)
    made.budget.restore(10.0)
    assert made.evaluation_share > 1
    made.budget.restore(21.0)
    assert made.evaluation_share < 1
    made.evaluated()
    assert made.evaluation_share > 1


def test_where_preparing_has_left_nothing_the_steps_get_a_twentieth_of_the_limit():
    budget = Budget(100.0, started=time.monotonic() - 120)
    made = with_steps(Pace(budget, total_steps=1000, evaluate_every=10, following=Following()), seconds=0.1)
    assert made.done(0) < 0.2
    budget.restore(5.1)
    assert made.done(30) >= 1

import math
import random

import pytest

from tonggan.codelm.completion.confidence import calibrate, confidence_of


def test_confidence_is_the_geometric_mean():
    assert confidence_of([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)
    assert confidence_of([]) == 0


def test_without_history_the_default_holds():
    assert calibrate([], default=0.3) == 0.3
    assert calibrate([(0.5, True)], default=0.3) == pytest.approx(0.3, abs=0.08)


def test_a_history_moves_the_threshold_to_where_acceptance_is_worth_it():
    drawn = random.Random(0)
    history = []
    for _ in range(2000):
        confidence = drawn.random()
        share = 1 / (1 + math.exp(-(10 * confidence - 6)))
        history.append((confidence, drawn.random() < share))
    expected = (math.log(0.25) + 6) / 10  # where the curve that made it crosses 0.2
    assert calibrate(history, default=0.25, worth=0.2) == pytest.approx(expected, abs=0.04)


def test_who_accepts_nothing_is_left_in_peace_and_who_accepts_all_sees_all():
    shown = [number / 100 for number in range(100)]
    assert calibrate([(each, False) for each in shown], default=0.25) > 0.6
    assert calibrate([(each, True) for each in shown], default=0.25) < 0.1

import math

import pytest
import torch

from contracts import check_alignment
from tonggan.alignment import ContrastiveConfig, PairShape

LEFT = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
RIGHT = torch.tensor([[1.0, 0.0], [0.0, 3.0], [1.0, 0.0]])


@pytest.mark.parametrize("learn_temperature", [False, True])
def test_contract(learn_temperature):
    check_alignment(ContrastiveConfig(learn_temperature=learn_temperature))


def test_equals_the_formula_worked_by_hand():
    # Cosines are [[1, 0], [0, 1]] and the temperature is 1/2: each row's loss is log(1 + exp(-2)).
    loss = ContrastiveConfig(temperature=0.5).build(PairShape(2))(LEFT[:2], RIGHT[:2])
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_both_directions_count():
    left = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    right = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # cosines [[1, 0], [0.6, 0.8]]
    rows = [math.log(1 + math.exp(0 - 1)), math.log(1 + math.exp(0.6 - 0.8))]
    columns = [math.log(1 + math.exp(0.6 - 1)), math.log(1 + math.exp(0 - 0.8))]
    loss = ContrastiveConfig(temperature=1.0).build(PairShape(2))(left, right)
    assert loss.item() == pytest.approx((sum(rows) / 2 + sum(columns) / 2) / 2)


def test_other_partners_are_no_negatives():
    loss = ContrastiveConfig(temperature=1.0).build(PairShape(2))
    matches = torch.eye(3, dtype=torch.bool)
    matches[0, 2] = matches[2, 0] = True  # the third pair says the same as the first
    one, other = math.log(1 + math.exp(-1)), math.log(1 + 2 * math.exp(-1))
    assert loss(LEFT, RIGHT, matches=matches).item() == pytest.approx((2 * one + other) / 3)
    assert loss(LEFT, RIGHT).item() > loss(LEFT, RIGHT, matches=matches).item()


def test_a_learned_temperature_stays_in_bounds():
    learned = ContrastiveConfig(learn_temperature=True).build(PairShape(2))
    assert not list(ContrastiveConfig().build(PairShape(2)).parameters())
    with torch.no_grad():
        learned.log_scale.fill_(9.0)
    at_limit = ContrastiveConfig(temperature=0.01).build(PairShape(2))
    torch.testing.assert_close(learned(LEFT, RIGHT), at_limit(LEFT, RIGHT))

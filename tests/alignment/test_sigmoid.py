import math

import pytest
import torch

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.sigmoid import SigmoidConfig

SHAPE = PairShape(2)
LEFT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
RIGHT = torch.tensor([[3.0, 0.0], [0.6, 0.8]])  # cosines [[1, 0.6], [0, 0.8]]


def test_contract():
    check_alignment(SigmoidConfig())


def test_sigmoid_equals_the_formula_worked_by_hand():
    loss = SigmoidConfig(scale=2.0, bias=-1.0).build(SHAPE)
    logits = {(0, 0): 1.0, (0, 1): 0.2, (1, 0): -1.0, (1, 1): 0.6}
    expected = -sum(math.log(1 / (1 + math.exp(-(z if i == j else -z)))) for (i, j), z in logits.items()) / 2
    assert loss(LEFT, RIGHT).item() == pytest.approx(expected)

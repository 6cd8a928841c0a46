import math

import pytest
import torch

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.angular import AngularConfig

SHAPE = PairShape(2)
LEFT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
RIGHT = torch.tensor([[3.0, 0.0], [0.6, 0.8]])  # cosines [[1, 0.6], [0, 0.8]]


def test_contract():
    check_alignment(AngularConfig())


def test_angular_equals_the_formula_worked_by_hand():
    tan2 = math.tan(math.radians(45)) ** 2  # 1
    assert tan2 == pytest.approx(1)
    x, y = LEFT / LEFT.norm(dim=1, keepdim=True), RIGHT / RIGHT.norm(dim=1, keepdim=True)
    rows = []
    for one, other in ((x, y), (y, x)):
        for i, j in ((0, 1), (1, 0)):
            term = 4 * float((one[i] + other[i]) @ other[j]) - 4 * float(one[i] @ other[i])
            rows.append(math.log(1 + math.exp(term)))
    assert AngularConfig(degrees=45).build(SHAPE)(LEFT, RIGHT).item() == pytest.approx(sum(rows) / 4, rel=1e-5)

import math

import pytest
import torch
import torch.nn.functional as F

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.euclidean import EuclideanConfig

SHAPE = PairShape(2)
LEFT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
RIGHT = torch.tensor([[3.0, 0.0], [0.6, 0.8]])  # cosines [[1, 0.6], [0, 0.8]]


def test_contract():
    check_alignment(EuclideanConfig())


def test_euclidean_equals_the_formula_worked_by_hand():
    # Between vectors of length 1: own 0 and sqrt(0.4), others sqrt(0.8) and sqrt(2).
    own, others = (0.0, math.sqrt(0.4)), ((math.sqrt(0.8), math.sqrt(2.0)), (math.sqrt(2.0), math.sqrt(0.8)))
    hinge = [max(0.0, 0.5 + own[row] - far[row]) for far in others for row in range(2)]
    loss = EuclideanConfig(margin=0.5, negatives="hardest").build(SHAPE)
    assert loss(LEFT, RIGHT).item() == pytest.approx(sum(hinge) / 4, abs=1e-4)


def test_semi_hard_negatives_are_farther_than_the_pair():
    left = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    right = F.normalize(torch.tensor([[0.5, 0.8], [0.9, 0.4], [-1.0, 0.1]]), dim=-1)
    semi_hard = EuclideanConfig(margin=0.1, negatives="semi_hard").build(SHAPE)(left, right)
    hardest = EuclideanConfig(margin=0.1, negatives="hardest").build(SHAPE)(left, right)
    assert semi_hard < hardest  # right 1 is nearer to left 0 than its own partner

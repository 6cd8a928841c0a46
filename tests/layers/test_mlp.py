import math

import torch

from tonggan.layers.mlp import MLP


def test_by_hand():
    mlp = MLP(1, hidden=1)
    for parameter, value in zip(mlp.parameters(), (2.0, 1.0, 3.0, -1.0), strict=True):
        parameter.data.fill_(value)
    inner = 2 * 0.25 + 1
    gelu = inner * 0.5 * (1 + math.erf(inner / math.sqrt(2)))
    torch.testing.assert_close(mlp(torch.tensor([[0.25]])), torch.tensor([[3 * gelu - 1]]))


def test_out_width():
    assert MLP(4, hidden=8, out=3)(torch.zeros(2, 5, 4)).shape == (2, 5, 3)

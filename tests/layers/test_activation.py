import math
from typing import get_args

import pytest
import torch

from tonggan.layers.activation import Activation, build_activation


@pytest.mark.parametrize(
    ("name", "at_one"),
    [("relu", 1.0), ("gelu", 0.5 * (1 + math.erf(1 / math.sqrt(2)))), ("silu", 1 / (1 + math.exp(-1)))],
)
def test_by_hand(name, at_one):
    torch.testing.assert_close(build_activation(name)(torch.tensor([0.0, 1.0])), torch.tensor([0.0, at_one]))


def test_every_name_is_built():
    assert all(build_activation(name) is not None for name in get_args(Activation))

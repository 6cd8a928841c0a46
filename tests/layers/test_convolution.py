import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tonggan.layers.convolution import build_convolution


def test_pool_lies_between_convolution_and_norm():
    torch.manual_seed(0)
    layers = build_convolution(3, 4, norm="batch", pool=True).eval()
    values = torch.randn(2, 3, 7, 7)
    convolved = F.conv2d(values, layers[0].weight, padding=1)
    pooled = F.max_pool2d(convolved, 2, ceil_mode=True)
    torch.testing.assert_close(layers(values), pooled / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize(("stride", "pool", "side"), [(1, False, 7), (2, False, 4), (1, True, 4), (2, True, 2)])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_sides_round_up(stride, pool, side, size):
    layers = build_convolution(1, 2, norm="none", size=size, stride=stride, pool=pool)
    assert layers(torch.zeros(1, 1, 7, 7)).shape == (1, 2, side, side)


def test_group_norm_has_groups_of_sixteen_and_bias_only_without_norm():
    norm = build_convolution(3, 32, norm="group")[1]
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == 2
    assert build_convolution(3, 32, norm="group")[0].bias is None
    assert build_convolution(3, 32, norm="none")[0].bias is not None

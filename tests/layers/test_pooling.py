import torch

from tonggan.layers.pooling import mean_pool
from tonggan.tokens import Tokens


def test_mean_of_real_tokens():
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[7.0, 7.0]] * 3])
    pooled = mean_pool(Tokens(values, torch.tensor([[True, True, False], [False, False, False]])))
    assert pooled.values.tolist() == [[[2.0, 4.0]], [[0.0, 0.0]]]
    assert pooled.mask.tolist() == [[True], [False]]

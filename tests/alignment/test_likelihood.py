import math

import pytest
import torch
import torch.nn.functional as F

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.likelihood import LikelihoodConfig
from tonggan.errors import ConfigError

SHAPE = PairShape(2)
LEFT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
RIGHT = torch.tensor([[3.0, 0.0], [0.6, 0.8]])  # cosines [[1, 0.6], [0, 0.8]]


def test_contract():
    check_alignment(LikelihoodConfig())


def test_likelihood_is_that_of_the_normal_distribution():
    torch.manual_seed(0)
    loss = LikelihoodConfig().build(PairShape(2, widths=(3, 1)))
    features = (torch.randn(2, 3), torch.randn(2, 1))
    with torch.no_grad():
        loss.log_deviations[0].fill_(0.3)
    expected = []
    for place, wanted in enumerate(features):
        for vectors in (LEFT, RIGHT):
            means = loss.decoders[place](math.sqrt(2) * F.normalize(vectors, dim=-1))
            normal = torch.distributions.Normal(means, loss.log_deviations[place].exp())
            expected.append(-normal.log_prob(wanted).mean())
    torch.testing.assert_close(loss(LEFT, RIGHT, features=features), torch.stack(expected).mean())
    with pytest.raises(ConfigError, match="frozen encoders"):
        LikelihoodConfig().build(SHAPE)

import math

import torch
import torch.nn.functional as F

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.adversarial import AdversarialConfig, reversed_gradient
from tonggan.alignment.contrastive import ContrastiveConfig

SHAPE = PairShape(2)
LEFT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
RIGHT = torch.tensor([[3.0, 0.0], [0.6, 0.8]])  # cosines [[1, 0.6], [0, 0.8]]


def test_contract():
    check_alignment(AdversarialConfig())


def test_adversarial_gradients_deceive_the_discriminator():
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    (reversed_gradient(values, 0.5) * torch.tensor([3.0, -1.0])).sum().backward()
    assert values.grad.tolist() == [-1.5, 0.5]
    torch.manual_seed(0)
    loss = AdversarialConfig(weight=1.0, temperature=0.5).build(SHAPE)
    left, right = LEFT.clone().requires_grad_(), RIGHT.clone().requires_grad_()
    total = loss(left, right)
    told = total - ContrastiveConfig(temperature=0.5).build(SHAPE)(LEFT, RIGHT)
    both = math.sqrt(2) * F.normalize(torch.cat([LEFT, RIGHT]), dim=-1)
    expected = F.binary_cross_entropy_with_logits(loss.discriminator(both)[:, 0], torch.tensor([1.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(told, expected)
    total.backward()
    assert left.grad.abs().sum() > 0

import math

import pytest
import torch
import torch.nn.functional as F

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.contrastive import ContrastiveConfig
from tonggan.alignment.multitask import MultitaskConfig
from tonggan.errors import ConfigError

SHAPE = PairShape(2)
LEFT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
RIGHT = torch.tensor([[3.0, 0.0], [0.6, 0.8]])  # cosines [[1, 0.6], [0, 0.8]]


def test_contract():
    check_alignment(MultitaskConfig())


def test_multitask_adds_the_classes_and_passes_rows_without_one():
    torch.manual_seed(0)
    loss = MultitaskConfig(label_weight=2.0).build(PairShape(2, num_labels=3))
    alone = ContrastiveConfig().build(SHAPE)(LEFT, RIGHT)
    none = torch.tensor([-1, -1])
    torch.testing.assert_close(loss(LEFT, RIGHT, labels=none), alone)
    labels = torch.tensor([2, -1])
    logits = [loss.classifier(math.sqrt(2) * F.normalize(each[:1], dim=-1)) for each in (LEFT, RIGHT)]
    expected = alone + sum(F.cross_entropy(each, labels[:1]) for each in logits)
    torch.testing.assert_close(loss(LEFT, RIGHT, labels=labels), expected)
    with pytest.raises(ConfigError, match="--target COL"):
        MultitaskConfig().build(SHAPE)

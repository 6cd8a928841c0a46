"""The angle at the negative: what does not belong to a pair is pushed away by an angle, whatever the scale."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from tonggan.alignment.base import Alignment, AlignmentConfig, Paired, PairShape


class AngularConfig(AlignmentConfig):
    """The angle."""

    kind: Literal["angular"] = "angular"
    degrees: float = Field(default=40.0, gt=0, lt=90)
    """Largest angle, in degrees, at which a negative may see the two sides of a pair."""

    def build(self, shape: PairShape) -> Alignment:  # noqa: ARG002
        return Angular(self)


class Angular(Alignment):
    """The angular loss over a batch (Wang et al. 2017, equation 8), in both directions.

    ``mean_i log(1 + sum_j exp(4 tan^2(a) (x_i + y_i) y_j - 2 (1 + tan^2(a)) x_i y_i))`` with vectors of length 1, where
    j is every row that does not belong to i.
    """

    def __init__(self, config: AngularConfig) -> None:
        super().__init__()
        self._tan2 = math.tan(math.radians(config.degrees)) ** 2

    def loss(self, pairs: Paired) -> Tensor:
        left, right = F.normalize(pairs.left, dim=-1), F.normalize(pairs.right, dim=-1)
        belongs = pairs.belongs
        return (self._direction(left, right, belongs) + self._direction(right, left, belongs.T)) / 2

    def _direction(self, anchors: Tensor, partners: Tensor, belongs: Tensor) -> Tensor:
        own = (anchors * partners).sum(dim=-1, keepdim=True)
        terms = 4 * self._tan2 * ((anchors + partners) @ partners.T) - 2 * (1 + self._tan2) * own
        terms = torch.cat([torch.zeros_like(own), terms.masked_fill(belongs, -torch.inf)], dim=1)
        return terms.logsumexp(dim=1).mean()

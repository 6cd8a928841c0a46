"""Maximum likelihood: each modality's vector is to tell the features of both, its own and its partner's."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from tonggan.alignment.base import Alignment, AlignmentConfig, Paired, PairShape
from tonggan.errors import ConfigError


class LikelihoodConfig(AlignmentConfig):
    """It has no options: the deviations of the features are learned."""

    kind: Literal["likelihood"] = "likelihood"
    reads_features = True
    compares_pairs = False

    def build(self, shape: PairShape) -> Alignment:
        if not all(shape.widths):
            raise ConfigError(
                "alignment 'likelihood'",
                got="vectors of encoders that learn",
                expected="frozen encoders, whose features can be predicted",
                remedy="Choose another alignment, e.g. contrastive",
            )
        return Likelihood(shape)


class Likelihood(Alignment):
    """The negative log-likelihood of features under Gaussians whose means are read from vectors of length 1.

    One linear decoder for each modality reads vectors of either: ``-log N(f_b; W_b x_a + c_b, diag(s_b^2))`` over all
    four pairs of a vector and features, per feature. As one decoder must serve both, vectors of a pair come to lie
    together (a bimodal autoencoder, Ngiam et al. 2011, with the likelihood of Kendall & Gal 2017). No pair is compared
    with another, so ``matches`` mean nothing.
    """

    def __init__(self, shape: PairShape) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(nn.Linear(shape.dim, width) for width in shape.widths)
        self.log_deviations = nn.ParameterList(torch.zeros(width) for width in shape.widths)

    def loss(self, pairs: Paired) -> Tensor:
        assert pairs.features is not None, "the likelihood is one of features"
        total = pairs.left.new_zeros(())
        for decoder, log_deviation, wanted in zip(self.decoders, self.log_deviations, pairs.features, strict=True):
            for vectors in (pairs.left, pairs.right):
                means = decoder(math.sqrt(vectors.shape[-1]) * nn.functional.normalize(vectors, dim=-1))
                errors = (wanted - means) * (-log_deviation).exp()
                total = total + (errors.square() / 2 + log_deviation).mean() + math.log(2 * math.pi) / 2
        return total / 4

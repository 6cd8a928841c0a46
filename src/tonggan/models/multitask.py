"""A fused model with auxiliary heads, for training only: each reads the Tokens of one input by itself.

A fused target may say little about each input: that a sound matches a picture is learned far sooner by encoders that
are also told what the picture shows and what the sound says (multitask learning, Caruana 1997).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tonggan.models.fused import FusedModel
from tonggan.tokens import Arrays


class MultitaskModel(nn.Module):
    """``model``, whose outputs are followed by those of the auxiliary ``heads``.

    Args:
        model: what is trained.
        heads: pairs of an input's name and a head that reads it; where the input is absent the head gives its prior.
    """

    def __init__(self, model: FusedModel, *, heads: Sequence[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self.model = model
        self.inputs = [name for name, _ in heads]
        self.heads = nn.ModuleList(head for _, head in heads)

    def forward(self, inputs: Mapping[str, Arrays]) -> Tensor:
        """[B, num_outputs + those of each head]."""
        tokens = self.model.encode(inputs)
        outputs = [self.model.predict(tokens)]
        outputs += [head(tokens[name]) for name, head in zip(self.inputs, self.heads, strict=True)]
        return torch.cat(outputs, dim=1)

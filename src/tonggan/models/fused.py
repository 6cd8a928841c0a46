"""The fused model: one encoder per input, modality dropout, a fusion, a head.

It is composed of built modules and knows no kind of part by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tonggan.decoders.base import Context, Head
from tonggan.models.base import Model
from tonggan.tokens import Arrays, Prediction, Tokens


class FusedModel(Model):
    """Encoders + fusion + head, defined for every subset of present modalities.

    Args:
        encoders: by input name; each maps Arrays to Tokens of one common width.
        fusion: maps ``{name: Tokens}`` to Tokens.
        head: predicts, and owns the losses.
        modality_dropout: chance that a present input of a training row is hidden; a row never loses all of them
            (ModDrop, Neverova et al. 2016).
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        fusion: nn.Module,
        head: Head,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names = tuple(encoders)
        # A list, because a column's name may hold characters that a module's name may not.
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.head = head
        self.modality_dropout = modality_dropout

    def encode_input(self, name: str, arrays: Arrays) -> Tokens:
        """Tokens of one input, before any is dropped."""
        tokens: Tokens = self.encoders[self.names.index(name)](arrays)
        return tokens

    def answer(self, encoded: Mapping[str, Tokens], inputs: Mapping[str, Arrays]) -> Prediction:
        prediction: Prediction = self.head(self.context(encoded, inputs))
        return prediction

    def fuse(self, tokens: Mapping[str, Tokens]) -> Tokens:
        """Fused Tokens; ``tokens`` may have any of its inputs masked out."""
        fused: Tokens = self.fusion(tokens)
        return fused

    def context(self, tokens: Mapping[str, Tokens], inputs: Mapping[str, Arrays]) -> Context:
        """What the head reads of ``inputs`` that were encoded as ``tokens``; any of them may be masked out.

        In training mode inputs are dropped at random.
        """
        tokens = self.dropped(tokens)
        return Context(self.fuse(tokens), tokens, inputs)

    def dropped(self, tokens: Mapping[str, Tokens]) -> Mapping[str, Tokens]:
        """``tokens``, in training mode with inputs dropped at random."""
        if self.training and self.modality_dropout > 0 and len(tokens) > 1:
            return drop_modalities(tokens, self.modality_dropout)
        return tokens

    def forward(self, inputs: Mapping[str, Arrays], targets: Mapping[str, Arrays] | None = None) -> Prediction:
        """What is predicted of a batch; with ``targets`` also what the head tells of them, as the loss of each row."""
        prediction: Prediction = self.head(self.context(self.encode(inputs), inputs), targets)
        return prediction

    def embed(self, inputs: Mapping[str, Arrays]) -> Tensor:
        """[B, D]: the mean of the fused Tokens."""
        return self.fuse(self.encode(inputs)).mean()


def drop_modalities(tokens: Mapping[str, Tokens], rate: float) -> dict[str, Tokens]:
    """Hide each present modality of each row with chance ``rate``; a row that would lose all keeps all."""
    present = torch.stack([part.present for part in tokens.values()], dim=1)
    kept = present & (torch.rand(present.shape, device=present.device) >= rate)
    kept = torch.where(kept.any(dim=1, keepdim=True), kept, present)
    return {name: part.keep(kept[:, index]) for index, (name, part) in enumerate(tokens.items())}

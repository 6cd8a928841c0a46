"""The fused model: one encoder per input, modality dropout, a fusion, a head that decides or one that writes.

It is composed of built modules and knows no kind of part by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tonggan.tokens import Arrays, Tokens


class FusedModel(nn.Module):
    """Encoders + fusion + head, defined for every subset of present modalities.

    Args:
        encoders: by input name; each maps Arrays to Tokens of one common width.
        fusion: maps ``{name: Tokens}`` to Tokens.
        head: maps Tokens to outputs ``[B, num_outputs]``; one that writes text has ``losses(tokens, target)`` as well.
        modality_dropout: chance that a present input of a training row is hidden; a row never loses all of them
            (ModDrop, Neverova et al. 2016).
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        fusion: nn.Module,
        head: nn.Module,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names: Sequence[str] = tuple(encoders)
        # A list, because a column's name may hold characters that a module's name may not.
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.head = head
        self.modality_dropout = modality_dropout

    def encode(self, inputs: Mapping[str, Arrays]) -> dict[str, Tokens]:
        """Tokens of each input, before any is dropped; what rows share is encoded once."""
        tokens = {}
        for name, encoder in zip(self.names, self.encoders, strict=True):
            encoded: Tokens = encoder(inputs[name])
            index = inputs[name].index
            tokens[name] = encoded if index is None else encoded.take(index)
        return tokens

    def fuse(self, tokens: Mapping[str, Tokens]) -> Tokens:
        """Fused Tokens; ``tokens`` may have any of its inputs masked out."""
        fused: Tokens = self.fusion(tokens)
        return fused

    def decode(self, fused: Tokens) -> Tensor:
        """[B, num_outputs]: the head's outputs."""
        outputs: Tensor = self.head(fused)
        return outputs

    def forward(self, inputs: Mapping[str, Arrays], target: Tensor | None = None) -> Tensor:
        """[B, num_outputs] of a batch; with a ``target``, a head that writes text sets its losses in front.

        In training mode inputs are dropped at random, and such losses ``[B, 2]`` come alone: to write takes a pass for
        each token.
        """
        fused = self.fuse(self._dropped(self.encode(inputs)))
        if target is None:
            return self.decode(fused)
        head: Any = self.head
        losses: Tensor = head.losses(fused, target)
        if self.training:
            return losses
        outputs = self.decode(fused)
        outputs[:, : losses.shape[1]] = losses
        return outputs

    def predict(self, tokens: Mapping[str, Tokens]) -> Tensor:
        """[B, num_outputs] of encoded inputs; in training mode inputs are dropped at random."""
        return self.decode(self.fuse(self._dropped(tokens)))

    def _dropped(self, tokens: Mapping[str, Tokens]) -> Mapping[str, Tokens]:
        if self.training and self.modality_dropout > 0 and len(tokens) > 1:
            return drop_modalities(tokens, self.modality_dropout)
        return tokens

    def embed(self, inputs: Mapping[str, Arrays]) -> Tensor:
        """[B, D]: the mean of the fused Tokens."""
        return self.fuse(self.encode(inputs)).mean()


def drop_modalities(tokens: Mapping[str, Tokens], rate: float) -> dict[str, Tokens]:
    """Hide each present modality of each row with chance ``rate``; a row that would lose all keeps all."""
    present = torch.stack([part.present for part in tokens.values()], dim=1)
    kept = present & (torch.rand(present.shape, device=present.device) >= rate)
    kept = torch.where(kept.any(dim=1, keepdim=True), kept, present)
    return {name: part.keep(kept[:, index]) for index, (name, part) in enumerate(tokens.items())}

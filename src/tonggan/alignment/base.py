"""What every alignment's config says: how the loss is built that draws together what belongs together."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from tonggan.parts import Part


class AlignmentConfig(Part):
    """A loss over pairs of vectors, of any two towers."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The loss: it maps vectors ``[B, D]`` of one tower and those of the other, row i belonging to row i, to a
        scalar. ``matches``, bool ``[B, B]``, says which right j belongs to left i as well.
        """

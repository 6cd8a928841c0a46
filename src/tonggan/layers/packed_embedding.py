"""An embedding that stays in 4 bits: rows are unpacked when they are looked up. It cannot be trained."""

from __future__ import annotations

from torch import Tensor, nn

from tonggan.weights.e5_file import unpack


class PackedEmbedding(nn.Module):
    """Ids ``int64 [...]`` to float32 ``[..., D]``.

    Of a vocabulary of 250,000 words a text needs a few: kept packed, the table takes 54 MB, not 384.

    Args:
        packed: uint8 ``[V, D / 32, 18]``, as ``unpack`` reads them.
    """

    def __init__(self, packed: Tensor) -> None:
        super().__init__()
        # A parameter, since what a model does not learn is not stored with it.
        self.packed = nn.Parameter(packed, requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """All rows, float32 ``[V, D]``."""
        return unpack(self.packed)

    def forward(self, ids: Tensor) -> Tensor:
        return unpack(self.packed[ids])

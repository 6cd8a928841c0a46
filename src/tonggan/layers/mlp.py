"""The perceptron with one hidden layer that follows attention. No norm and no residual here."""

from __future__ import annotations

from torch import nn


class MLP(nn.Sequential):
    """Linear, GELU, dropout, linear: ``[..., dim]`` to ``[..., out]``, where ``out`` is ``dim`` unless given."""

    def __init__(self, dim: int, *, hidden: int, out: int | None = None, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim if out is None else out)
        )

"""One vector for each input: what the fusions share that do not look at single tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tonggan.tokens import Tokens


class PooledInputs(nn.Module):
    """The normalized mean of each input's real tokens, so that inputs of any scale and length count alike."""

    def __init__(self, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in names)

    def forward(self, tokens: Mapping[str, Tokens]) -> tuple[Tensor, Tensor]:
        """Vectors ``[B, M, D]``, zeros where an input is absent, and ``[B, M]`` bool, True where it is present."""
        pooled = [norm(tokens[name].mean()) for name, norm in zip(self.names, self.norms, strict=True)]
        present = torch.stack([tokens[name].present for name in self.names], dim=1)
        return torch.stack(pooled, dim=1).masked_fill(~present.unsqueeze(-1), 0), present


class ProjectedInputs(nn.Module):
    """A linear map of its own for each input's pooled vector; an absent input adds nothing, its bias included."""

    def __init__(self, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.pooled = PooledInputs(names, dim=dim)
        self.projections = nn.ModuleList(nn.Linear(dim, dim) for _ in names)

    def forward(self, tokens: Mapping[str, Tokens]) -> tuple[Tensor, Tensor]:
        """The same shapes as PooledInputs gives."""
        pooled, present = self.pooled(tokens)
        projected = [projection(pooled[:, index]) for index, projection in enumerate(self.projections)]
        return torch.stack(projected, dim=1).masked_fill(~present.unsqueeze(-1), 0), present


def one_token(vectors: Tensor, present: Tensor) -> Tokens:
    """Fused ``vectors`` [B, D] as one token for each row that has any input; ``present`` is [B, M] bool."""
    return Tokens(vectors.unsqueeze(1), present.any(dim=1, keepdim=True))


def softmax_present(logits: Tensor, present: Tensor) -> Tensor:
    """Softmax over dimension 1, the inputs, among the present ones; ``present`` broadcasts to ``logits``."""
    # The lowest finite number, not -inf: a row without any input must stay finite.
    return logits.masked_fill(~present, torch.finfo(logits.dtype).min).softmax(dim=1).masked_fill(~present, 0)

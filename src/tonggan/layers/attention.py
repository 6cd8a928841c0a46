"""Multi-head attention under a mask, of a sequence to itself or to another. It holds no norm and no residual."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tonggan.errors import ConfigError
from tonggan.layers.rotary import rotate


class Attention(nn.Module):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017).

    Args:
        dim: width of queries, keys and outputs.
        num_heads: must divide ``dim``.
        dropout: chance that an attention weight is dropped in training.
        rotary: turn queries and keys by their places (only sensible for self-attention).
        causal: a query sees only the keys up to its own place (likewise).

    Raises:
        ConfigError: ``dim`` cannot be split into ``num_heads`` heads (of even width, if rotary).
    """

    def __init__(
        self, dim: int, *, num_heads: int, dropout: float = 0.0, rotary: bool = False, causal: bool = False
    ) -> None:
        super().__init__()
        unit = 2 * num_heads if rotary else num_heads
        if dim % unit:
            raise ConfigError(
                "attention",
                got=f"width {dim} with {num_heads} heads",
                expected=f"a width that is a multiple of {unit}",
                remedy="Change the width or num_heads",
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.rotary = rotary
        self.causal = causal
        self.in_projection = nn.Linear(dim, 3 * dim)
        self.out_projection = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, *, mask: Tensor, keys: Tensor | None = None) -> Tensor:
        """``[B, Q, dim]``: what each query finds among ``keys [B, K, dim]``; without keys, among the queries.

        ``mask`` [B, K] bool is True where a key is real. Where a row has no real key, nothing is found: zeros enter
        the output projection.
        """
        query, key, value = self._project(queries, keys)
        if self.rotary:
            query, key = rotate(query), rotate(key)
        present = mask.any(dim=1)
        # A softmax over nothing is undefined, so an absent row sees all keys and its result is zeroed.
        visible = (mask | ~present[:, None])[:, None, None, :]
        if self.causal:
            # A place of padding sees itself, for the same reason.
            itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
            visible = (visible & torch.ones_like(itself).tril()) | itself
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout)
        found = found.masked_fill(~present[:, None, None, None], 0)
        output: Tensor = self.out_projection(found.transpose(1, 2).flatten(2))
        return output

    def _project(self, queries: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of each head, ``[B, H, L, E]``."""
        if keys is None:
            parts = self.in_projection(queries).chunk(3, dim=-1)
        else:
            dim = self.out_projection.in_features  # less than that of queries where heads have been pruned
            weight, bias = self.in_projection.weight, self.in_projection.bias
            query = F.linear(queries, weight[:dim], bias[:dim])
            parts = (query, *F.linear(keys, weight[dim:], bias[dim:]).chunk(2, dim=-1))
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        return query, key, value

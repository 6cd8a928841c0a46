"""A stack of pre-norm transformer blocks over masked tokens. Embeddings and positions are the caller's."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.layers.attention import Attention
from tonggan.layers.mlp import MLP
from tonggan.layers.real_tokens import add_to_real


class TransformerConfig(Config):
    """Size of a transformer; encoders that hold one inherit these fields."""

    num_layers: int = Field(default=2, ge=0)
    """Number of blocks; 0 leaves only the embedded tokens."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of each block; the width must be a multiple of them."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden width of each block's perceptron, as a multiple of the width."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability of activations in training."""


class TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))`` (pre-norm, Xiong et al. 2020).

    Args:
        dim: width of a token.
        num_heads: attention heads.
        hidden: width of the perceptron.
        dropout: on attention weights, hidden activations and both residual branches.
        rotary: rotary positions in the attention.
        causal: a token sees only those up to its own place.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        hidden: int,
        dropout: float = 0.0,
        rotary: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=num_heads, dropout=dropout, rotary=rotary, causal=causal)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = MLP(dim, hidden=hidden, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``values [B, L, dim]`` under ``mask [B, L]``, in the same shape."""
        values = values + self.dropout(self.attention(self.attention_norm(values), mask=mask))
        return add_to_real(values, lambda tokens: self.dropout(self.mlp(self.mlp_norm(tokens))), mask)


class Transformer(nn.Module):
    """Blocks and a final LayerNorm, ``[B, L, dim]`` in and out."""

    def __init__(self, dim: int, *, config: TransformerConfig, rotary: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(
                dim,
                num_heads=config.num_heads,
                hidden=round(dim * config.mlp_ratio),
                dropout=config.dropout,
                rotary=rotary,
                causal=causal,
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``values [B, L, dim]`` under ``mask [B, L]``, in the same shape."""
        for block in self.blocks:
            values = block(values, mask)
        output: Tensor = self.norm(values)
        return output

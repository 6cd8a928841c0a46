"""Pooling: all tokens of a row become one. Weighted pooling by learned queries is the fusions' business."""

from __future__ import annotations

from tonggan.tokens import Tokens


def mean_pool(tokens: Tokens) -> Tokens:
    """``[B, 1, D]``: the mean of each row's real tokens; a row without any stays absent."""
    return Tokens(tokens.mean().unsqueeze(1), tokens.present.unsqueeze(1))

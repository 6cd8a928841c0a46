"""How alike two vectors are: by their angle, by what lies between them, or by their inner product."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Distance: TypeAlias = Literal["cosine", "euclidean", "dot"]


def similarities(left: Tensor, right: Tensor, distance: Distance) -> Tensor:
    """``[N, M]``, greater where more alike, of ``left`` ``[N, D]`` and ``right`` ``[M, D]``.

    The cosine; minus half the square of the Euclidean distance, which between vectors of length 1 is the cosine less 1;
    or the inner product.
    """
    if distance == "cosine":
        return F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T
    products = left @ right.T
    if distance == "dot":
        return products
    return products - (left.square().sum(dim=-1, keepdim=True) + right.square().sum(dim=-1)) / 2


def as_queries(vectors: Tensor, distance: Distance) -> Tensor:
    """``vectors`` ``[N, D]`` so that their inner products with ``as_items`` rank by ``distance``."""
    if distance == "cosine":
        return F.normalize(vectors, dim=-1)
    return vectors if distance == "dot" else torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=-1)


def as_items(vectors: Tensor, distance: Distance) -> Tensor:
    """``vectors`` ``[N, D]`` as they are stored to be found by ``as_queries``."""
    if distance == "cosine":
        return F.normalize(vectors, dim=-1)
    if distance == "dot":
        return vectors
    return torch.cat([vectors, -vectors.square().sum(dim=-1, keepdim=True) / 2], dim=-1)

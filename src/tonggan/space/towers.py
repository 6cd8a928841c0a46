"""From features to vectors that can be compared: a ridge regression in closed form, and small networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tonggan.alignment.distances import Distance, as_items, as_queries

_CLIPPED_AT = 10.0  # standard deviations
_ROWS_AT_ONCE = 4_096
_ADAPTED_BY = 100  # rows of a collection count as much as all of the training part
_MOST_ROWS = 200_000  # that a ridge regression reads


class Standardize(nn.Module):
    """Features less their mean, in standard deviations, of the training part."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, values: NDArray[np.float32]) -> None:
        """Learn from ``[N, F]``; what never varies counts nothing."""
        deviation = values.std(axis=0)
        self.mean.copy_(torch.from_numpy(values.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)))

    def adapt(self, values: NDArray[np.float32]) -> None:
        """Move towards the mean and deviations of other features ``[N, F]``, the more of them the nearer."""
        share = len(values) / (len(values) + _ADAPTED_BY)
        former_mean, former_scale = self.mean.clone(), self.scale.clone()
        self.fit(values)
        known = (self.scale > 0) & (former_scale > 0)
        deviation = share / self.scale.clamp(min=1e-9) + (1 - share) / former_scale.clamp(min=1e-9)
        self.mean.copy_(torch.where(known, share * self.mean + (1 - share) * former_mean, former_mean))
        self.scale.copy_(torch.where(known, 1 / deviation, former_scale))

    def forward(self, values: Tensor) -> Tensor:
        return ((values - self.mean) * self.scale).clamp(-_CLIPPED_AT, _CLIPPED_AT)


class Tower(nn.Sequential):
    """Features ``[B, F]`` to vectors ``[B, dim]`` by one hidden layer."""

    def __init__(self, width: int, *, hidden: int, dim: int, dropout: float) -> None:
        super().__init__(
            Standardize(width),
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.LayerNorm(hidden),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
        )


class LinearMap(nn.Module):
    """Features ``[B, F]`` to the standardized features ``[B, D]`` of the kind that all others are led to."""

    weight: Tensor

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.standardize = Standardize(width)
        self.register_buffer("weight", torch.eye(width, dim))

    def forward(self, values: Tensor) -> Tensor:
        vectors: Tensor = self.standardize(values) @ self.weight
        return vectors


class Space(nn.Module):
    """Vectors of one space for features of every kind.

    Args:
        widths: F by kind of input.
        dim: of what a tower gives; 0 without towers.
        hidden: width of a tower's hidden layer.
        dropout: of a tower.
        linear_dim: of what the linear maps give; 0 without them.
        distance: by which vectors are compared.

    Attributes:
        share: of the linear maps in an inner product, from 0 to 1; the rest is that of the towers.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        dim: int,
        hidden: int,
        dropout: float = 0.0,
        linear_dim: int = 0,
        distance: Distance = "cosine",
    ) -> None:
        super().__init__()
        self.widths, self.distance = dict(widths), distance
        self.towers = nn.ModuleDict(
            {kind: Tower(width, hidden=hidden, dim=dim, dropout=dropout) for kind, width in widths.items() if dim}
        )
        self.maps = nn.ModuleDict({kind: LinearMap(width, linear_dim) for kind, width in widths.items() if linear_dim})
        self.share = 1.0 if not dim else 0.0 if not linear_dim else 0.5

    @property
    def linear_dim(self) -> int:
        """Of what the linear maps give; 0 without them."""
        return next((each.weight.shape[1] for each in self.maps.values() if isinstance(each, LinearMap)), 0)

    @property
    def width(self) -> int:
        """D of an embedding."""
        values = np.zeros((0, next(iter(self.widths.values()))), dtype=np.float32)
        return int(self.embed(next(iter(self.widths)), values).shape[1])

    def tower(self, kind: str, values: Tensor) -> Tensor:
        """``[B, dim]`` of the network alone, of any length."""
        vectors: Tensor = self.towers[kind](values)
        return vectors

    def standardized(self, kind: str, values: Tensor) -> Tensor:
        """``[B, F]`` as towers and maps read them."""
        found: Tensor = self._standardizers(kind)[0](values)
        return found

    def standardize(self, kind: str, values: NDArray[np.float32]) -> None:
        """Learn the means and deviations of features ``[N, F]`` of the training part."""
        for each in self._standardizers(kind):
            each.fit(values)

    def adapt(self, kind: str, values: NDArray[np.float32]) -> None:
        """Read a collection of another style, features ``[N, F]``, as what was learned from was read.

        Photographs have other means than drawings; without them a space of drawings finds half as many.
        """
        for each in self._standardizers(kind):
            each.adapt(values)

    def _standardizers(self, kind: str) -> list[Standardize]:
        parts = [parts[kind] for parts in (self.towers, self.maps) if kind in parts]
        return [each for part in parts for each in part.children() if isinstance(each, Standardize)]

    @torch.no_grad()
    def embed(self, kind: str, values: NDArray[np.float32], *, as_query: bool = False) -> NDArray[np.float32]:
        """``[N, D]`` of features ``[N, F]``, whose inner products rank: of queries with what is not one."""
        found = []
        for first in range(0, max(len(values), 1), _ROWS_AT_ONCE):
            part = torch.from_numpy(values[first : first + _ROWS_AT_ONCE])
            vectors = []
            if self.share > 0:
                vectors.append(self.share**0.5 * F.normalize(self.maps[kind](part), dim=-1))
            if self.share < 1:
                place = as_queries if as_query else as_items
                vectors.append((1 - self.share) ** 0.5 * place(self.tower(kind, part), self.distance))
            found.append(torch.cat(vectors, dim=-1))
        joined: NDArray[np.float32] = torch.cat(found).numpy()
        return joined


class Ridge:
    """Ridge regressions of one matrix on another for any penalty, from one decomposition.

    Args:
        inputs: ``[N, F]``, centered.
        targets: ``[N, D]``, centered.
    """

    def __init__(self, inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> None:
        self._values, self._axes = np.linalg.eigh(inputs.T @ inputs)
        self._products = self._axes.T @ (inputs.T @ targets)

    def weight(self, penalty: float) -> NDArray[np.float32]:
        """``[F, D]`` that minimizes ``|X W - Y|^2 + penalty |W|^2``."""
        shrunk = self._products / (np.maximum(self._values, 0) + penalty)[:, None]
        weight: NDArray[np.float32] = (self._axes @ shrunk).astype(np.float32)
        return weight


def fitted_ridge(sides: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Ridge:
    """Of rows of features, standardized, and what they are led to, centered; of too many rows the first."""
    inputs = np.concatenate([left for left, _ in sides])[:_MOST_ROWS].astype(np.float64)
    targets = np.concatenate([right for _, right in sides])[:_MOST_ROWS].astype(np.float64)
    return Ridge(inputs, targets)

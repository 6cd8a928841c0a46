"""From features to vectors that can be compared: a ridge regression in closed form, and small networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tonggan.alignment.distances import Distance, as_items, as_queries
from tonggan.alignment.token_sets import Matching, pooled
from tonggan.space.features import Features, TokenSets
from tonggan.tokens import Arrays, Tokens

_CLIPPED_AT = 10.0  # standard deviations
_ROWS_AT_ONCE = 512
_ADAPTED_BY = 100  # rows of a collection count as much as all of the training part
_MOST_ROWS = 200_000  # that a ridge regression reads
_MOST_STANDARDIZED = 10_000  # rows that means and deviations are taken of
_MOST_TOKENS = 64  # of an item that an encoder which learns gives


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
    """Features ``[..., F]`` to vectors ``[..., dim]`` by one hidden layer."""

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
        matching: how what towers give is compared: as vectors, or as sets of tokens.
        token_widths: E by kind of input, of the tokens that its tower reads instead of a vector.
        encoders: by kind of input, what learns in place of a tower: Arrays to Tokens of width ``dim``.

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
        matching: Matching = "pooled",
        token_widths: Mapping[str, int] | None = None,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.widths, self.distance, self.dim, self.matching = dict(widths), distance, dim, matching
        self.token_widths = dict(token_widths or {})
        self.encoders = nn.ModuleDict(dict(encoders or {}) if dim else {})
        self.towers = nn.ModuleDict(
            {
                kind: Tower(self.token_widths.get(kind, width), hidden=hidden, dim=dim, dropout=dropout)
                for kind, width in widths.items()
                if dim and kind not in self.encoders
            }
        )
        self.maps = nn.ModuleDict({kind: LinearMap(width, linear_dim) for kind, width in widths.items() if linear_dim})
        self.share = 1.0 if not dim else 0.0 if not linear_dim else 0.5

    @property
    def compares_sets(self) -> bool:
        """Whether sets of tokens are compared, by networks that count."""
        return self.matching != "pooled" and self.share < 1

    @property
    def has_networks(self) -> bool:
        """Whether there are towers, or encoders in their place."""
        return self.dim > 0

    @property
    def linear_dim(self) -> int:
        """Of what the linear maps give; 0 without them."""
        return next((each.weight.shape[1] for each in self.maps.values() if isinstance(each, LinearMap)), 0)

    @property
    def width(self) -> int:
        """D of an embedding."""
        extra = 1 if self.matching == "pooled" and self.distance == "euclidean" else 0
        return (self.linear_dim if self.share > 0 else 0) + (self.dim + extra if self.share < 1 else 0)

    def tower(self, kind: str, tokens: Tokens) -> Tokens:
        """Tokens ``[B, T, dim]`` of the network alone, of any length, of those of the features."""
        return Tokens(self.towers[kind](tokens.values), tokens.mask)

    def encode(self, kind: str, arrays: Arrays) -> Tokens:
        """Tokens ``[B, T, dim]`` of the encoder that learns in place of a tower; one where vectors are compared."""
        tokens: Tokens = self.encoders[kind](arrays)
        if self.matching == "pooled":
            return Tokens(tokens.mean()[:, None], tokens.present[:, None])
        return Tokens(tokens.values[:, :_MOST_TOKENS], tokens.mask[:, :_MOST_TOKENS])

    def vectors(self, tokens: Tokens) -> Tensor:
        """``[B, dim]`` of what ``tower`` or ``encode`` has given: its only token, or the mean of a set."""
        return tokens.mean() if self.matching == "pooled" else pooled(tokens)

    def standardized(self, kind: str, values: Tensor) -> Tensor:
        """Features ``[..., F]`` as towers and maps read them."""
        found: Tensor = next(iter(self._standardizers(kind)))(values)
        return found

    def standardize(self, kind: str, features: Features) -> None:
        """Learn the means and deviations of features of the training part."""
        for each, values in self._standardizers(kind, features).items():
            each.fit(values)

    def adapt(self, kind: str, features: Features) -> None:
        """Read a collection of another style as what was learned from was read.

        Photographs have other means than drawings; without them a space of drawings finds half as many.
        """
        for each, values in self._standardizers(kind, features).items():
            each.adapt(values)

    def _standardizers(self, kind: str, features: Features | None = None) -> dict[Standardize, NDArray[np.float32]]:
        """Of maps and towers, with what of ``features`` each reads: of the rows that are there, or of their tokens."""
        found: dict[Standardize, NDArray[np.float32]] = {}
        for parts in (self.maps, self.towers):
            for each in parts[kind].children() if kind in parts else ():
                if isinstance(each, Standardize):
                    found[each] = np.empty(0, dtype=np.float32)
                    if features is not None:
                        places = np.flatnonzero(features.present)
                        some = features.take(places[:: max(1, len(places) // _MOST_STANDARDIZED)])
                        sets = some.as_tokens()
                        found[each] = some.values if parts is self.maps else sets.values[sets.mask].astype(np.float32)
        return found

    def tokens(self, kind: str, features: Features) -> Tokens:
        """Tokens ``[N, T, dim]`` of the network alone."""
        if kind in self.encoders:
            assert features.learned is not None, "an encoder that learns has read the features"
            return features.learned.tokens()
        return self.tower(kind, features.as_tokens().tokens())

    @torch.no_grad()
    def embed(self, kind: str, features: Features, *, as_query: bool = False) -> NDArray[np.float32]:
        """``[N, D]``, whose inner products rank: of queries with what is not one."""
        found = [torch.empty(0, self.width)]
        for first in range(0, len(features), _ROWS_AT_ONCE):
            part = features.take(np.arange(first, min(first + _ROWS_AT_ONCE, len(features))))
            vectors = []
            if self.share > 0:
                vectors.append(self.share**0.5 * F.normalize(self.maps[kind](torch.from_numpy(part.values)), dim=-1))
            if self.share < 1:
                place = as_queries if as_query else as_items
                vectors.append((1 - self.share) ** 0.5 * place(self.vectors(self.tokens(kind, part)), self.distance))
            found.append(torch.cat(vectors, dim=-1))
        joined: NDArray[np.float32] = torch.cat(found).numpy()
        return joined

    @torch.no_grad()
    def sets(self, kind: str, features: Features) -> TokenSets:
        """``[N, T, dim]``, of length 1 each, in half precision: what ``rescored`` compares."""
        found = []
        for first in range(0, len(features), _ROWS_AT_ONCE):
            tokens = self.tokens(kind, features.take(np.arange(first, min(first + _ROWS_AT_ONCE, len(features)))))
            units = F.normalize(tokens.values, dim=-1).half()
            found.append((units.numpy(), tokens.mask.numpy()))
        if not found:
            return TokenSets(np.zeros((0, 0, self.dim), np.float16), np.zeros((0, 0), bool))
        return TokenSets(np.concatenate([part for part, _ in found]), np.concatenate([mask for _, mask in found]))

    def sets_of(self, kind: str, features: Features) -> list[NDArray[np.float16] | None]:
        """``[T, dim]`` of each item, as ``sets``; None of each where vectors are compared."""
        if not self.compares_sets:
            return [None] * len(features)
        sets = self.sets(kind, features)
        return [values[mask] for values, mask in zip(sets.values, sets.mask, strict=True)]


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

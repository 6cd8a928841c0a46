"""Features in memory as batches, and the objective that draws together what stands in one row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tonggan.alignment import AlignmentConfig, PairShape
from tonggan.layers.precision import in_float32
from tonggan.space.features import Features
from tonggan.space.matches import MatchMeasure
from tonggan.space.towers import Space
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.training.objective import MeasuredObjective

_LABELS = "labels"
_MOST_VALIDATED = 2_000


class FeatureBatches:
    """Rows of features as batches.

    Args:
        features: by input, of the same rows.
        labels: int64 ``[N]``, -1 where a row has none.
        batch_size: rows of a batch.
        seed: of the order.
        shuffle: whether rows come in a new order in each epoch; otherwise all stand in one batch, at most 2,000.
    """

    def __init__(
        self,
        features: Mapping[str, Features],
        *,
        labels: NDArray[np.int64] | None,
        batch_size: int,
        seed: int,
        shuffle: bool,
    ) -> None:
        self.features, self.labels, self.seed, self.shuffle = features, labels, seed, shuffle
        count = len(next(iter(features.values())))
        self.num_rows = count if shuffle else min(count, _MOST_VALIDATED)
        self.size = min(batch_size, count) if shuffle else self.num_rows

    def __len__(self) -> int:
        return max(1, self.num_rows // self.size) if self.shuffle else math.ceil(self.num_rows / max(self.size, 1))

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on; a last one that is smaller is left out."""
        order = np.arange(self.num_rows)
        if self.shuffle:
            order = np.random.default_rng([self.seed, number]).permutation(order)
        for index in range(start, len(self)):
            yield self.batch(order[index * self.size : (index + 1) * self.size])

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The rows at the positions ``rows``: features as inputs, what is equal as targets."""
        inputs, targets = {}, {}
        for name, each in self.features.items():
            part = each.take(rows)
            inputs[name] = Arrays(
                torch.from_numpy(part.values),
                torch.from_numpy(part.present)[:, None].expand_as(torch.from_numpy(part.values)),
            )
            targets[name] = Arrays.whole(torch.from_numpy(part.content))
        if self.labels is not None:
            targets[_LABELS] = Arrays.whole(torch.from_numpy(self.labels[rows]))
        return Batch(torch.from_numpy(rows), inputs, targets)

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Rows as they are counted from 1."""
        counted: list[int] = (rows + 1).tolist()
        return counted


class Matching(MeasuredObjective):
    """The towers of ``space`` learn to give near vectors to what stands in one row.

    Args:
        space: whose towers learn.
        kinds: of the inputs by name.
        alignment: the loss of each two inputs; those of two kinds share one.
        num_labels: classes of the rows.
    """

    score_name = "mrr"
    greater_is_better = True
    gathers = True

    def __init__(
        self, space: Space, kinds: Mapping[str, str], alignment: AlignmentConfig, *, num_labels: int = 0
    ) -> None:
        super().__init__()
        self.space, self.kinds, self.config = space, dict(kinds), alignment
        self.splits_batches = not alignment.compares_pairs
        self.pairs = list(combinations(kinds, 2))
        shapes = {self._key(left, right): (left, right) for left, right in self.pairs}
        dim = next(iter(space.towers.values()))[-1].out_features  # type: ignore[index]
        self.losses_of = nn.ModuleDict(
            {
                key: alignment.build(
                    PairShape(dim, (space.widths[kinds[left]], space.widths[kinds[right]]), num_labels)
                )
                for key, (left, right) in shapes.items()
            }
        )

    def _key(self, left: str, right: str) -> str:
        return f"{self.kinds[left]}~{self.kinds[right]}"

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``LEFT~RIGHT`` of each two inputs, over the rows that have both; the mean over the pairs adds up."""
        vectors = {name: self.space.tower(kind, batch.inputs[name].values) for name, kind in self.kinds.items()}
        found = {}
        with in_float32(next(iter(vectors.values())).device):
            for left, right in self.pairs:
                both = batch.inputs[left].present & batch.inputs[right].present
                found[f"{left}~{right}"] = self._loss(batch, left, right, vectors, both) / len(self.pairs)
        return found

    def _loss(self, batch: Batch, left: str, right: str, vectors: Mapping[str, Tensor], both: Tensor) -> Tensor:
        if int(both.sum()) < 2:
            return torch.stack([vectors[name].sum() for name in (left, right)]).sum() * 0.0
        content = [batch.targets[name].values[both] for name in (left, right)]
        same = [each.unsqueeze(1) == each.unsqueeze(0) for each in content]
        features = None
        if self.config.reads_features:
            features = tuple(
                self.space.standardized(self.kinds[name], batch.inputs[name].values[both]) for name in (left, right)
            )
        labels = batch.targets[_LABELS].values[both] if self.config.reads_labels else None
        loss: Tensor = self.losses_of[self._key(left, right)](
            vectors[left][both].float(),
            vectors[right][both].float(),
            matches=same[0] | same[1],
            labels=labels,
            features=features,
        )
        return loss

    def predict(self, batch: Batch) -> Prediction:
        """The vectors of each input as queries and as what is found, with presence and content."""
        outputs = {}
        for name, kind in self.kinds.items():
            values = batch.inputs[name].values
            vectors = self.space.tower(kind, values)
            outputs[f"{name}/vector"] = vectors
            outputs[f"{name}/present"] = batch.inputs[name].present
            outputs[f"{name}/content"] = batch.targets[name].values
        return Prediction(outputs)

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        del targets
        rows = {name: np.asarray(prediction[name]) for name in prediction.outputs}
        return MatchMeasure.of_rows(rows, kinds=self.kinds, distance=self.space.distance)


def classes_of(values: Sequence[str | None], names: Sequence[str]) -> NDArray[np.int64]:
    """The place of each value in ``names``, -1 where it is none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([-1 if value is None else places.get(value, -1) for value in values], dtype=np.int64)

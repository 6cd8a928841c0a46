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
from tonggan.alignment.gradient_cache import in_pieces
from tonggan.alignment.token_sets import set_scores
from tonggan.data.dataset import Dataset
from tonggan.errors import ConfigError
from tonggan.layers.precision import in_float32
from tonggan.space.features import Features
from tonggan.space.matches import MatchMeasure
from tonggan.space.towers import Space
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction, Tokens
from tonggan.training.objective import MeasuredObjective
from tonggan.training.world import gathered

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
        raw: the inputs that encoders which learn read, of the same rows.
    """

    def __init__(
        self,
        features: Mapping[str, Features],
        *,
        labels: NDArray[np.int64] | None,
        batch_size: int,
        seed: int,
        shuffle: bool,
        raw: Dataset | None = None,
    ) -> None:
        self.features, self.labels, self.seed, self.shuffle, self.raw = features, labels, seed, shuffle, raw
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
            rows = order[index * self.size : (index + 1) * self.size]
            (state,) = np.random.SeedSequence([self.seed, number, index]).generate_state(1, np.uint64)
            yield self.batch(rows, torch.Generator().manual_seed(int(state) >> 1) if self.shuffle else None)

    def batch(self, rows: NDArray[np.int64], generator: torch.Generator | None = None) -> Batch:
        """The rows at the positions ``rows``: features as inputs, what is equal as targets.

        What encoders that learn read is varied by ``generator``, where there is one.
        """
        inputs, targets = {}, {}
        learned: Mapping[str, Arrays] = {}
        if self.raw is not None:
            plain = self.raw.batch(rows)
            learned = (plain if generator is None else self.raw.vary(plain, generator)).inputs
        for name, each in self.features.items():
            part = each.take(rows)
            tokens = part.as_tokens().tokens()
            inputs[name] = learned[name].expand() if name in learned else Arrays(tokens.values, tokens.mask)
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
        at_once: rows that go through an encoder that learns at a time.

    Raises:
        ConfigError: the alignment cannot learn in such a space.
    """

    score_name = "mrr"
    greater_is_better = True
    gathers = True

    def __init__(
        self,
        space: Space,
        kinds: Mapping[str, str],
        alignment: AlignmentConfig,
        *,
        num_labels: int = 0,
        at_once: int = 64,
    ) -> None:
        super().__init__()
        self.space, self.kinds, self.config, self.at_once = space, dict(kinds), alignment, at_once
        _check(space, alignment)
        self.splits_batches = not alignment.compares_pairs
        self.pairs = list(combinations(kinds, 2))
        shapes = {self._key(left, right): (left, right) for left, right in self.pairs}
        widths = {kind: 0 if kind in space.encoders else width for kind, width in space.widths.items()}
        self.losses_of = nn.ModuleDict(
            {
                key: alignment.build(PairShape(space.dim, (widths[kinds[left]], widths[kinds[right]]), num_labels))
                for key, (left, right) in shapes.items()
            }
        )

    def _key(self, left: str, right: str) -> str:
        return f"{self.kinds[left]}~{self.kinds[right]}"

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``LEFT~RIGHT`` of each two inputs, over the rows that have both; the mean over the pairs adds up.

        The rows are those of all processes.
        """
        tokens = {name: self._gathered(self._tokens(name, batch.inputs[name])) for name in self.kinds}
        targets = {name: gathered(each.values) for name, each in batch.targets.items()}
        found = {}
        with in_float32(next(iter(tokens.values())).values.device):
            for left, right in self.pairs:
                both = tokens[left].present & tokens[right].present
                features = None
                if self.config.reads_features:
                    values = (gathered(batch.inputs[name].values[:, 0]) for name in (left, right))
                    features = tuple(
                        self.space.standardized(self.kinds[name], each[both])
                        for name, each in zip((left, right), values, strict=True)
                    )
                loss = self._loss(targets, left, right, tokens, both, features)
                found[f"{left}~{right}"] = loss / len(self.pairs)
        return found

    def _tokens(self, name: str, arrays: Arrays) -> Tokens:
        """What towers make of features; of an encoder that learns, piece by piece where there are many rows."""
        kind = self.kinds[name]
        if kind not in self.space.encoders:
            return self.space.tower(kind, Tokens(arrays.values, arrays.mask))

        def encode(piece: Arrays) -> Tensor:
            tokens = self.space.encode(kind, piece)
            return torch.cat([tokens.values, tokens.mask.unsqueeze(-1).to(tokens.values.dtype)], dim=-1)

        rows = torch.split(torch.arange(len(arrays)), self.at_once)
        made = in_pieces(encode, [arrays.take(part) for part in rows])
        return Tokens(made[..., :-1], made[..., -1] > 0)

    @staticmethod
    def _gathered(tokens: Tokens) -> Tokens:
        return Tokens(gathered(tokens.values.float()), gathered(tokens.mask))

    def _loss(
        self,
        targets: Mapping[str, Tensor],
        left: str,
        right: str,
        tokens: Mapping[str, Tokens],
        both: Tensor,
        features: tuple[Tensor, ...] | None,
    ) -> Tensor:
        if int(both.sum()) < 2:
            return torch.stack([tokens[name].values.sum() for name in (left, right)]).sum() * 0.0
        places = both.nonzero().squeeze(1)
        sides = [tokens[name].take(places) for name in (left, right)]
        same = [each.unsqueeze(1) == each.unsqueeze(0) for each in (targets[name][both] for name in (left, right))]
        matching = self.space.matching
        loss: Tensor = self.losses_of[self._key(left, right)](
            *(self.space.vectors(side) for side in sides),
            matches=same[0] | same[1],
            labels=targets[_LABELS][both] if self.config.reads_labels else None,
            features=features,
            scores=None if matching == "pooled" else set_scores(sides[0], sides[1], matching),
        )
        return loss

    def predict(self, batch: Batch) -> Prediction:
        """The vectors of each input, and its tokens where sets are compared, with presence and content."""
        outputs = {}
        for name in self.kinds:
            tokens = self._tokens(name, batch.inputs[name])
            outputs[f"{name}/vector"] = self.space.vectors(tokens)
            outputs[f"{name}/present"] = batch.inputs[name].present
            outputs[f"{name}/content"] = batch.targets[name].values
            if self.space.matching != "pooled":
                outputs[f"{name}/tokens"], outputs[f"{name}/mask"] = tokens.values, tokens.mask
        return Prediction(outputs)

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        del targets
        rows = {name: np.asarray(prediction[name]) for name in prediction.outputs}
        space = self.space
        return MatchMeasure.of_rows(rows, kinds=self.kinds, distance=space.distance, matching=space.matching)


def _check(space: Space, alignment: AlignmentConfig) -> None:
    """Raise ConfigError where sets are to be compared by an alignment that compares vectors alone."""
    if space.matching == "pooled" or (alignment.compares_sets and space.distance == "cosine"):
        return
    able = [kind for kind, each in sorted(AlignmentConfig.family().items()) if each.compares_sets]
    raise ConfigError(
        f"space.matching '{space.matching}'",
        got=f"alignment '{alignment.kind}'" if space.distance == "cosine" else f"distance '{space.distance}'",
        expected=f"one of {', '.join(able)}, with the cosine",
        remedy="Choose one with --set space.alignment.kind=, or leave space.matching out",
    )


def classes_of(values: Sequence[str | None], names: Sequence[str]) -> NDArray[np.int64]:
    """The place of each value in ``names``, -1 where it is none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([-1 if value is None else places.get(value, -1) for value in values], dtype=np.int64)

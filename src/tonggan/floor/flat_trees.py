"""Decision trees as flat arrays, and the one way to evaluate them: whatever library grew them, none is needed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 1 << 17  # pairs of a row and a tree, so that what is looked up stays near the processor
_STEPS_UNTIL_PRUNED = 4


@dataclass(frozen=True, eq=False)
class FlatTrees:
    """Trees that are added up. M nodes of all trees lie in one row.

    A row of numbers goes to the left child where its feature is at most the threshold; where the feature is a category,
    where the bit of that category is set; where it is NaN, where ``missing_left`` says so.

    Attributes:
        roots: int64 ``[T]``; tree t adds to output ``t % groups`` where values have one column, else to all outputs.
        features: int32 ``[M]``; -1 at a leaf.
        thresholds: float64 ``[M]``; of a category, where its bits begin in ``bits``.
        children: int64 ``[M, 2]``, right and left; a leaf leads to itself.
        missing_left: bool ``[M]``.
        lengths: int32 ``[M]``, how many bits of categories there are; -1 where the feature is a number.
        bits: bool ``[B]``.
        values: float64 ``[M, V]``; of leaves.
        groups: how many outputs the trees take turns at.
    """

    roots: NDArray[np.int64]
    features: NDArray[np.int32]
    thresholds: NDArray[np.float64]
    children: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    lengths: NDArray[np.int32]
    bits: NDArray[np.bool_]
    values: NDArray[np.float64]
    groups: int = 1

    def __post_init__(self) -> None:
        nodes = len(self.features)
        parts = (self.thresholds, self.children, self.missing_left, self.lengths, self.values)
        if any(len(part) != nodes for part in parts) or len(self.roots) % max(self.groups, 1):
            raise ValueError("the arrays of trees differ in length")
        for places in (self.roots, self.children):
            if places.size and not 0 <= places.min() <= places.max() < nodes:
                raise ValueError("a tree leads to a node that is not there")
        inner = np.flatnonzero(self.features >= 0)
        if (self.children[inner] <= inner[:, None]).any():
            raise ValueError("a tree leads back to where it was")
        ends = self.thresholds + self.lengths
        if (self.lengths >= 0).any() and ends[self.lengths >= 0].max() > len(self.bits):
            raise ValueError("a tree asks for a category that is not there")

    def sums(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """``[N, outputs]``: what the leaves that each of ``rows`` [N, F] reaches add up to."""
        if self.features.max(initial=-1) >= rows.shape[1]:
            raise ValueError("a tree asks for a column that is not there")
        outputs = self.groups * self.values.shape[1]
        total = np.zeros((len(rows), outputs))
        if not len(self.roots):
            return total
        step = max(1, _AT_ONCE // len(self.roots))
        for start in range(0, len(rows), step):
            leaves = self._leaves(np.ascontiguousarray(rows[start : start + step], dtype=np.float64))
            reached = self.values[leaves].reshape(len(leaves), -1, outputs)
            total[start : start + step] = reached.sum(1)
        return total

    def _leaves(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """``[N, T]``: the node at which each of ``rows`` ends in each tree."""
        count, width = rows.shape
        cells = rows.ravel()
        nodes = np.tile(self.roots, count)
        starts = np.repeat(np.arange(count) * width, len(self.roots))
        open_pairs = np.arange(len(nodes))
        current = nodes
        steps = 0
        while len(open_pairs):
            if steps % _STEPS_UNTIL_PRUNED == 0:
                nodes[open_pairs] = current
                inner = self.features[current] >= 0
                open_pairs, current, starts = open_pairs[inner], current[inner], starts[inner]
            steps += 1
            # A leaf reads any cell, here the last, since both of its children are itself.
            cell = cells[starts + self.features[current]]
            left = cell <= self.thresholds[current]
            lengths = self.lengths[current]
            categories = np.flatnonzero(lengths >= 0)
            if len(categories):
                left[categories] = self._in_bits(cell[categories], current[categories])
            missing = np.isnan(cell)
            if missing.any():
                left[missing] = self.missing_left[current[missing]]
            current = self.children[current, left.astype(np.int64)]
        return nodes.reshape(count, -1)

    def _in_bits(self, cells: NDArray[np.float64], nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
        known = (cells >= 0) & (cells < self.lengths[nodes])
        places = self.thresholds[nodes].astype(np.int64) + np.where(known, cells, 0).astype(np.int64)
        return known & self.bits[places]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it for the disk."""
        return {field.name: np.atleast_1d(getattr(self, field.name)) for field in fields(self)}

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> FlatTrees:
        """The inverse of ``arrays``.

        Raises:
            KeyError, ValueError: something is missing or does not fit together.
        """
        parts = {field.name: arrays[field.name] for field in fields(FlatTrees) if field.name != "groups"}
        return FlatTrees(**parts, groups=int(arrays["groups"][0]))


def join(trees: Sequence[FlatTrees]) -> FlatTrees:
    """One after the other, all of as many columns of values."""
    nodes = np.cumsum([0, *(len(part.features) for part in trees)])
    bits = np.cumsum([0, *(len(part.bits) for part in trees)])
    shifted = [
        np.where(part.lengths >= 0, part.thresholds + first, part.thresholds)
        for part, first in zip(trees, bits, strict=False)
    ]
    return FlatTrees(
        roots=np.concatenate([part.roots + first for part, first in zip(trees, nodes, strict=False)]),
        children=np.concatenate([part.children + first for part, first in zip(trees, nodes, strict=False)]),
        thresholds=np.concatenate(shifted),
        features=np.concatenate([part.features for part in trees]),
        missing_left=np.concatenate([part.missing_left for part in trees]),
        lengths=np.concatenate([part.lengths for part in trees]),
        bits=np.concatenate([part.bits for part in trees]),
        values=np.concatenate([part.values for part in trees]),
    )


def of_lightgbm(text: str, *, groups: int) -> FlatTrees:
    """The trees of LightGBM's model format, which take turns at ``groups`` outputs; of each the inner nodes come first.

    All trees are read at once: there may be thousands of few nodes.
    """
    said = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\nTree=")[1:]
    ]

    def read(name: str, kind: type) -> NDArray[Any]:
        return np.array(" ".join(tree.get(name, "") for tree in said).split(), dtype=kind)

    def before(name: str) -> NDArray[np.int64]:
        """How many values of that name the trees before each have."""
        return _before(np.array([len(tree.get(name, "").split()) for tree in said], dtype=np.int64))

    leaves = read("num_leaves", np.int64)
    roots = _before(2 * leaves - 1)
    tree = np.repeat(np.arange(len(said)), leaves - 1)  # of each inner node
    inner = np.arange(len(tree)) + (roots - _before(leaves - 1))[tree]
    outer = np.arange(leaves.sum()) + np.repeat(roots + leaves - 1 - _before(leaves), leaves)

    decisions, thresholds = read("decision_type", np.int64), read("threshold", np.float64)
    categorical = (decisions & 1).astype(bool)
    # Where training met no NaN, the library takes one for a zero.
    missing_left = np.where((decisions >> 2) & 3 == 0, thresholds >= 0, (decisions >> 1) & 1 == 1) & ~categorical
    lengths = np.full(len(tree), -1, dtype=np.int32)
    words, bounds, owner = read("cat_threshold", np.uint32), read("cat_boundaries", np.int64), tree[categorical]
    which = thresholds[categorical].astype(np.int64) + before("cat_boundaries")[owner]
    lengths[categorical] = 32 * (bounds[which + 1] - bounds[which])
    thresholds[categorical] = 32 * (bounds[which] + before("cat_threshold")[owner])
    children = np.stack([read("right_child", np.int64), read("left_child", np.int64)], axis=1)
    children = np.where(children < 0, (leaves - 1)[tree, None] + ~children, children) + roots[tree, None]

    nodes = len(inner) + len(outer)

    def placed(values: NDArray[Any], at: NDArray[np.int64], elsewhere: NDArray[Any]) -> NDArray[Any]:
        elsewhere[at] = values
        return elsewhere

    return FlatTrees(
        roots=roots,
        features=placed(read("split_feature", np.int32), inner, np.full(nodes, -1, dtype=np.int32)),
        thresholds=placed(thresholds, inner, np.zeros(nodes)),
        children=placed(children, inner, np.repeat(np.arange(nodes)[:, None], 2, axis=1)),
        missing_left=placed(missing_left, inner, np.zeros(nodes, dtype=bool)),
        lengths=placed(lengths, inner, np.full(nodes, -1, dtype=np.int32)),
        bits=np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool),
        values=placed(read("leaf_value", np.float64), outer, np.zeros(nodes))[:, None],
        groups=groups,
    )


def _before(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of all ``counts`` before each."""
    return np.cumsum(counts) - counts


def of_scikit_learn(tree: Any) -> FlatTrees:
    """A tree of scikit-learn's regressors, which compares float32."""
    inner = tree.children_left >= 0
    nodes = len(inner)
    own = np.arange(nodes)
    left, right = (np.where(inner, part, own) for part in (tree.children_left, tree.children_right))
    return FlatTrees(
        roots=np.zeros(1, dtype=np.int64),
        features=np.where(inner, tree.feature, -1).astype(np.int32),
        thresholds=np.where(inner, tree.threshold, 0.0),
        children=np.stack([right, left], axis=1).astype(np.int64),
        missing_left=np.asarray(tree.missing_go_to_left, dtype=bool),
        lengths=np.full(nodes, -1, dtype=np.int32),
        bits=np.zeros(0, dtype=bool),
        values=np.where(inner[:, None], 0.0, tree.value[:, :, 0]),
    )

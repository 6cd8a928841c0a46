"""Which rows a member learns from: samples, rows set apart, and copies in which inputs and cells are hidden.

By the copies a member learns what to say where something is absent, or has a name never seen: every member's fit adds
them to the rows that it learns from, never to those that it checks itself on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import Examples
from tonggan.floor.features import Features, Reading, take_rows

SHARE = 0.05
"""What all copies weigh together, as a share of what the rows weigh."""
_LEAST = 600  # copies, of less weight each where there are fewer rows: else a leaf of a few of them says much
_MOST = 20_000
_NEVER_SEEN = 0.3  # of hidden categories, so many become a name that was never seen; the others are absent


def with_hidden_copies(
    examples: Examples, *, seed: int, share: float = SHARE, least: int = _LEAST
) -> tuple[Examples, NDArray[np.int64]]:
    """The rows, and behind them copies of random ones, each with a random share of its inputs and cells hidden.

    Args:
        examples: the rows.
        seed: of what is drawn.
        share: what all copies weigh together, of what the rows weigh.
        least: so many copies there are at least.

    Returns:
        the examples, and of which row ``[M]`` each is.
    """
    generator = np.random.default_rng(seed)
    count = int(min(max(share * len(examples), least), _MOST))
    rows = generator.permutation(np.resize(generator.permutation(len(examples)), count))
    copies = hide(take_rows(examples.features, rows), generator)
    weights = examples.weights[rows]
    weights = weights * (share * examples.weights.sum() / weights.sum())
    both = np.concatenate([examples.weights, weights])
    learned = Examples(
        features={name: Reading.cat([reading, copies[name]]) for name, reading in examples.features.items()},
        targets=np.concatenate([examples.targets, examples.targets[rows]]),
        weights=both / both.mean(),
    )
    return learned, np.concatenate([np.arange(len(examples)), rows])


def hide(features: Features, generator: np.random.Generator) -> dict[str, Reading]:
    """The rows with a random share of the inputs and cells of each hidden."""
    rows = len(next(iter(features.values())))
    inputs, cells = generator.random((2, rows))
    hidden = {}
    for name, reading in features.items():
        kept = generator.random(rows) >= inputs if len(features) > 1 else np.ones(rows, dtype=bool)
        present = reading.present & kept
        held = reading.cells
        if held is not None:
            held = _hide_cells(reading, cells, generator)
            held[~present] = np.nan
        hidden[name] = replace(reading, present=present, cells=held)
    return hidden


def sizes(reading: Reading) -> NDArray[np.int64]:
    """``[C]``: how many indices each column of cells has, 0 for numbers."""
    assert reading.cells is not None, "only cells have sizes"
    return np.array(reading.categories or [0] * reading.cells.shape[1], dtype=np.int64)


def _hide_cells(reading: Reading, shares: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float32]:
    """The cells, each row without its share of the columns; some categories become a name that was never seen."""
    assert reading.cells is not None, "only cells are hidden by themselves"
    shape = len(reading), len(reading.columns) or reading.cells.shape[1]
    gone = _cells_of(reading, generator.random(shape) < shares[:, None])
    unknown = gone & (sizes(reading) > 0) & _cells_of(reading, generator.random(shape) < _NEVER_SEEN)
    return np.where(unknown, np.float32(0), np.where(gone, np.float32(np.nan), reading.cells))


def _cells_of(reading: Reading, drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[N, C]``: the cells that are absent without the columns ``drawn`` [N, columns]."""
    if not reading.columns:
        return drawn
    assert reading.cells is not None, "only cells belong to columns"
    gone = np.zeros(reading.cells.shape[::-1], dtype=bool)
    for column, places in enumerate(reading.columns):
        gone[list(places)] |= drawn[:, column]
    return gone.T


def sample(examples: Examples, most: int, *, seed: int) -> Examples:
    """At the most so many of the rows, in their order."""
    if len(examples) <= most:
        return examples
    rows = np.sort(np.random.default_rng(seed).choice(len(examples), most, replace=False))
    return Examples(take_rows(examples.features, rows), examples.targets[rows], examples.weights[rows])


def deal(targets: NDArray[Any], parts: int, *, seed: int) -> NDArray[np.int64]:
    """``[N]``: which of so many parts each row falls to; of each class, as of all rows, every part gets as many."""
    draws = np.random.default_rng(seed).random(len(targets))
    order = np.lexsort((draws, targets)) if targets.ndim == 1 else np.argsort(draws)
    dealt = np.empty(len(targets), dtype=np.int64)
    dealt[order] = (np.arange(len(targets)) + seed) % parts
    return dealt

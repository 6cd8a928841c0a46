"""The range of a column's pictures of more than 8 bits, and of its recordings of floating point samples.

What files of the training part hold decides, one answer for the column: decided file by file, a dark picture would
become as bright as the others, and a soft recording as loud.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from tonggan.data.kinds import Guess
from tonggan.data.scan import find_media
from tonggan.data.table import Table, spread
from tonggan.modalities.base import Encoded, MediaConfig

_SAMPLE_SIZE = 64


def settle_ranges(table: Table, guesses: Mapping[str, Guess]) -> dict[str, Guess]:
    """``guesses`` with the ``range`` of columns filled in where files of ``table`` need it."""
    settled = {}
    for name, guess in guesses.items():
        config = guess.config
        if isinstance(config, MediaConfig) and config.range and getattr(config, config.range.field) is None:
            greatest = _greatest(table, name, config)
            end = None if greatest is None else config.range.chosen(greatest)
            config = config if end is None else config.model_copy(update={config.range.field: end})
        settled[name] = replace(guess, config=config)
    return settled


def typical_described(table: Table, name: str, config: MediaConfig, field: str) -> float | None:
    """The median of a number that the headers of a sample of the column's files have; None where none can be read."""
    modality = config.build()
    found = [modality.describe(content).get(field) for content in _sample(table, name) if content]
    numbers = [float(value) for value in found if isinstance(value, int | float)]
    return float(np.median(numbers)) if numbers else None


def _sample(table: Table, name: str) -> Iterator[Encoded | None]:
    return (find_media(cell, base=table.base) for cell in table.values(name, spread(len(table), _SAMPLE_SIZE)))


def _greatest(table: Table, name: str, config: MediaConfig) -> float | None:
    """The greatest value in a sample of the column's files; None where none of them says."""
    modality = config.build()
    greatest = (modality.greatest(content) for content in _sample(table, name) if content)
    return max((value for value in greatest if value is not None), default=None)

"""Batches of a data set in a repeatable order, assembled in the background while the model computes.

The order of an epoch and the variation of each batch depend on seed, epoch and batch number alone, so a run that is
resumed in the middle of an epoch sees the batches that it would have seen.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.data.dataset import Dataset
from tonggan.tokens import Batch

_ENOUGH = 500


class Batches(Protocol):
    """Batches in a repeatable order, epoch by epoch: what a training reads.

    Attributes:
        num_rows: of an epoch.
    """

    @property
    def num_rows(self) -> int: ...

    def __len__(self) -> int:
        """Batches of an epoch; an estimate, at least 1, where only making them tells."""
        ...

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on."""
        ...

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """How the user counts ``rows`` of batches, from 1; for messages."""
        ...


class Loader:
    """Batches of ``dataset``, epoch by epoch.

    Args:
        dataset: whose rows are batched.
        batch_size: rows of a batch; the last one of an epoch may be smaller.
        seed: of order and variation.
        shuffle: whether this is for training: rows in a new random order in each epoch, and randomly varied.
            Otherwise they come in their own order, as they are.
        drop_last: leave out a last batch that is smaller.
        prefetch: batches that are made ahead.
        hidden_cells: when shuffled, the share of the rows that come a second time in each epoch, with some of their
            cells and words hidden; of more than 500 rows it is a smaller one, down to a fifth. The first time all are
            whole.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
        prefetch: int = 2,
        hidden_cells: float = 0.0,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.prefetch = prefetch
        # A number of rows teaches what absence means, more than a share; and each costs the whole ones a little.
        counted = max(min(len(dataset), _ENOUGH), len(dataset) / 5)
        self.num_again = math.ceil(hidden_cells * counted) if shuffle and dataset.has_cells else 0

    @property
    def num_rows(self) -> int:
        """Different rows of an epoch."""
        return len(self.dataset)

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """How the user's own table counts ``rows``, from 1."""
        return self.dataset.numbers_of(rows)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(len(self.dataset) + self.num_again, self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on.

        An error of the data set is raised in the place of its batch. The background thread ends with the iterator,
        whether it is used up, closed or dropped.
        """
        order = self._order(number)
        pool = ThreadPoolExecutor(1, thread_name_prefix="loader")
        ahead: deque[Future[Batch]] = deque()
        try:
            for index in range(start, len(self)):
                ahead.append(pool.submit(self._batch, order, number, index))
                if len(ahead) > self.prefetch:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Positions in the data set; ``~position`` where its row comes again."""
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        random = np.random.default_rng([self.seed, epoch])
        places = random.permutation(count + self.num_again)
        order = np.concatenate([np.arange(count), ~random.permutation(count)[: self.num_again]])[places]
        if self.dataset.groups is None:
            return order
        # Groups in the order in which their first row was drawn, each with its rows side by side.
        drawn = self.dataset.groups[_positions(order)]
        _, first, group = np.unique(drawn, return_index=True, return_inverse=True)
        return order[np.argsort(first[group], kind="stable")]

    def _batch(self, order: NDArray[np.int64], epoch: int, index: int) -> Batch:
        chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
        if not self.shuffle:
            return self.dataset.batch(chosen)
        (state,) = np.random.SeedSequence([self.seed, epoch, index]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state) >> 1)
        hidden = chosen < 0 if self.num_again else None
        return self.dataset.vary(self.dataset.batch(_positions(chosen)), generator, hidden=hidden)


def _positions(order: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(order < 0, ~order, order)

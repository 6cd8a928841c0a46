"""What writes texts with one model, several at a time, and holds no more jobs than it was allowed to."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tonggan.errors import DataError, QueueFullError, TongganError
from tonggan.language.text_model import TextModel
from tonggan.serving.job import Job

_ResultT = TypeVar("_ResultT")
_logger = logging.getLogger(__name__)


class Writer(ABC):
    """Jobs in, pieces out.

    Args:
        slots: jobs that are worked on at the same time.
        queue: jobs that may wait beside those.
    """

    def __init__(self, *, slots: int, queue: int) -> None:
        self.slots = slots
        self._capacity = slots + queue
        self._held = 0
        self._counting = threading.Lock()

    @property
    def active(self) -> int:
        """Jobs that are worked on."""
        return min(self._held, self.slots)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return max(0, self._held - self.slots)

    def require_room(self, count: int) -> None:
        """Nothing when ``count`` jobs could be taken now; so a request can be refused before work is put into it.

        Raises:
            QueueFullError: too many are held already.
            DataError: so many could never be taken.
        """
        if count > self._capacity:
            raise DataError(
                "request",
                got=f"{count} texts to write",
                expected=f"at most {self._capacity}, the slots and the queue of this server",
                remedy="Ask for them in several requests, or start the server with a longer --queue",
            )
        if self._held + count > self._capacity:
            raise QueueFullError(
                "request",
                got=f"{self._held} texts being written or waiting",
                expected=f"room for {count} more, within {self._capacity}",
                remedy="Try again in a moment, or start the server with a longer --queue",
            )

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take all of ``jobs``, or none; pieces go to their ``receive``.

        Raises:
            QueueFullError: there is no room for them now.
            DataError: one cannot be done at all, e.g. its prompt is longer than the context.
        """
        with self._counting:
            self.require_room(len(jobs))
            self._held += len(jobs)
        try:
            self._take(jobs)
        except BaseException:
            self._release(len(jobs))
            raise

    def _release(self, count: int = 1) -> None:
        """So many jobs are over; subclasses call it once for each that they took."""
        with self._counting:
            self._held -= count

    @abstractmethod
    def _take(self, jobs: Sequence[Job]) -> None:
        """Begin with ``jobs``, or let them wait; takes none where it raises."""

    @abstractmethod
    def call(self, function: Callable[[], _ResultT]) -> Future[_ResultT]:
        """Run ``function``, which uses the model for something else, when the model is free for it."""

    @abstractmethod
    def close(self) -> None:
        """Finish all jobs that were taken, then free the threads. Nothing may be submitted any more."""


class Streams(Writer):
    """A ``Writer`` over a model that batches by itself: each job runs its ``stream`` in a thread of a pool.

    Args:
        model: the model.
        slots: streams at the same time.
        queue: jobs that may wait beside those.
    """

    def __init__(self, model: TextModel, *, slots: int, queue: int) -> None:
        super().__init__(slots=slots, queue=queue)
        self._model = model
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="tonggan-stream")

    def call(self, function: Callable[[], _ResultT]) -> Future[_ResultT]:
        return self._pool.submit(function)

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _take(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._pool.submit(self._run, job)

    def _run(self, job: Job) -> None:
        try:
            self._stream(job)
        except TongganError as error:
            job.receive(error)
        except Exception as error:
            _logger.exception("a stream failed")
            job.receive(error)
        finally:
            self._release()

    def _stream(self, job: Job) -> None:
        ended = False
        if not (job.cancelled or job.late):
            for piece in self._model.stream(job.prompt, job.settings, cancelled=lambda: job.cancelled or job.late):
                job.receive(piece)
                ended = piece.finish is not None
        if not ended and not job.cancelled:
            job.receive(job.too_late())

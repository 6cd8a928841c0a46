"""Writing with a model that batches by itself: each job runs the model's own stream in a thread of a pool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from tonggan.errors import TongganError
from tonggan.language.prompt import Piece
from tonggan.language.settings import GenerationConfig
from tonggan.serving.job import Job
from tonggan.serving.writer import Writer

_ResultT = TypeVar("_ResultT")
_logger = logging.getLogger(__name__)


class _Streaming(Protocol):
    def stream(
        self, prompt: Any, settings: GenerationConfig, *, cancelled: Callable[[], bool] = ...
    ) -> Iterator[Piece]: ...


class Streams(Writer):
    """A ``Writer`` over a model whose ``stream`` may run in several threads at once.

    Args:
        model: the model.
        slots: streams at the same time.
        queue: jobs that may wait beside those.
    """

    def __init__(self, model: _Streaming, *, slots: int, queue: int) -> None:
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

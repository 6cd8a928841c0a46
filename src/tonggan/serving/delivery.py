"""From the threads that write to the event loop that answers: the pieces of a request's texts, as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from tonggan.language.prompt import Generation, Piece
from tonggan.language.settings import GenerationConfig
from tonggan.serving.cut import Cut
from tonggan.serving.job import Job

_LOOK_EVERY = 0.5
"""Seconds, for whether the time is over."""


class Delivery:
    """The texts of one request: one job for each of ``settings``, each with its prompt.

    Args:
        prompts: of the jobs, made by the model.
        settings: of the jobs.
        timeout: seconds that all of it may take.
        cuts: of the jobs' texts, which may end them sooner than the model does; None for texts that need none.

    Must be made in the event loop that will read it.
    """

    def __init__(
        self,
        prompts: Sequence[Any],
        *,
        settings: Sequence[GenerationConfig],
        timeout: float,
        cuts: Sequence[Cut] | None = None,
    ) -> None:
        self._arrived: asyncio.Queue[tuple[int, Piece | Exception]] = asyncio.Queue()
        self._cuts = cuts
        self.jobs = [
            Job(prompt, each, _receiver(index, self._arrived), timeout)
            for index, (prompt, each) in enumerate(zip(prompts, settings, strict=True))
        ]

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """The number of a job and its next piece, until all have ended.

        Raises:
            TongganError: one job failed; the others are cancelled.
        """
        going = set(range(len(self.jobs)))
        while going:
            index, piece = await self._next(going)
            if index not in going:
                continue  # written before its writer heard that the text is over
            if isinstance(piece, Exception):
                self.cancel()
                raise piece
            if self._cuts is not None:
                piece = self._cuts[index](piece)
            if piece.finish is not None:
                going.remove(index)
                self.jobs[index].cancel()
            yield index, piece

    async def _next(self, going: Collection[int]) -> tuple[int, Piece | Exception]:
        """What arrives next; that the time is over is found here too, as the model may be busy with something else."""
        while True:
            late = next((index for index in going if self.jobs[index].late), None)
            if late is not None and self._arrived.empty():
                return late, self.jobs[late].too_late()
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._arrived.get(), _LOOK_EVERY)

    async def whole(self) -> list[Generation]:
        """The texts, once all have ended."""
        received: list[list[Piece]] = [[] for _ in self.jobs]
        async for index, piece in self.pieces():
            received[index].append(piece)
        return [_join(pieces) for pieces in received]

    def hurry(self, seconds: float) -> None:
        """The server stops: all texts must end in so many seconds."""
        for job in self.jobs:
            job.hurry(seconds)

    def cancel(self) -> None:
        """Nobody reads on; rows and places in the queue become free."""
        for job in self.jobs:
            job.cancel()


def _receiver(index: int, arrived: asyncio.Queue[tuple[int, Piece | Exception]]) -> Callable[[Piece | Exception], None]:
    """What puts the pieces of a job into the queue, from any thread; after the loop's end there is no one to tell."""
    loop = asyncio.get_running_loop()

    def receive(piece: Piece | Exception) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(arrived.put_nowait, (index, piece))

    return receive


def _join(pieces: Sequence[Piece]) -> Generation:
    finish = pieces[-1].finish
    assert finish is not None
    return Generation(
        "".join(piece.text for piece in pieces),
        [id_ for piece in pieces for id_ in piece.token_ids],
        [each for piece in pieces for each in piece.logprobs],
        finish,
    )

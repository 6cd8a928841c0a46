"""Continuous batching: one thread steps all texts of a model together, and lets waiting ones in between two steps.

Each text has a row of one session. A new one enters as soon as a row is free: its prompt is read in parts of bounded
length between the steps of the others, so that a long prompt holds nobody up for long. A row keeps what it has read;
the next prompt that begins alike (a chat that goes on) reads only the rest. It knows no HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from tonggan.errors import TongganError
from tonggan.language.continuation import Continuation
from tonggan.language.engine import Session
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Piece
from tonggan.serving.failures import RefusedError
from tonggan.serving.job import Job
from tonggan.serving.writer import Writer

_ResultT = TypeVar("_ResultT")
_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Row:
    """One sequence of the session.

    Attributes:
        number: in the session.
        held: ids of the tokens in the cache, -1 for what is no text; they stay when the job has ended.
        job: whose text it is; None when the row is free.
        continuation: the text so far.
        unread: ``[n, D]``, what of the prompt is not in the cache yet, and ``unread_ids`` its ids.
    """

    number: int
    held: list[int] = field(default_factory=list)
    job: Job | None = None
    continuation: Continuation | None = None
    unread: Tensor | None = None
    unread_ids: list[int] = field(default_factory=list)

    def common_prefix(self, ids: Sequence[int]) -> int:
        """How many tokens of ``ids`` the cache holds already; the last one is always read anew, for its logits."""
        length = 0
        for held, id_ in zip(self.held, ids[:-1], strict=False):
            if held != id_ or id_ < 0:
                break
            length += 1
        return length


class Scheduler(Writer):
    """A ``Writer`` over an engine of one's own.

    Args:
        model: engine and tokenizer.
        slots: texts that are written at the same time.
        queue: texts that may wait beside those.
        max_length: tokens that a text may take, its prompt included; the model's own context may be shorter.
        prefill: tokens of prompts, padding included, that are read between two steps at most.
    """

    def __init__(self, model: LanguageModel, *, slots: int, queue: int, max_length: int, prefill: int = 512) -> None:
        super().__init__(slots=slots, queue=queue)
        self._model = model
        self._max_length = min(max_length, model.max_length)
        self._prefill_tokens = max(prefill, slots)
        self._session = self._new_session()
        self._rows = [_Row(number) for number in range(slots)]
        self._waiting: deque[tuple[Job, Continuation]] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="tonggan-scheduler", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], _ResultT]) -> Future[_ResultT]:
        future: Future[_ResultT] = Future()
        with self._changed:
            self._calls.append((function, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _take(self, jobs: Sequence[Job]) -> None:
        begun = [(job, self._begin(job)) for job in jobs]
        with self._changed:
            self._waiting.extend(begun)
            self._changed.notify()

    def _begin(self, job: Job) -> Continuation:
        room = self._max_length - job.prompt.length
        if room < 1:
            raise RefusedError(
                "prompt",
                got=f"{job.prompt.length} tokens",
                expected=f"at most {self._max_length - 1} of the {self._max_length} that a text may take here",
                remedy="Shorten the text or drop early turns of the conversation",
                code="context_length_exceeded",
            )
        return Continuation(job.prompt.ids, job.settings, self._model.tokenizer, max_tokens=room)

    def _new_session(self) -> Session:
        return self._model.engine.session(self.slots, capacity=self._max_length)

    def _work(self) -> None:
        with torch.inference_mode():
            while self._wait_for_work():
                self._run_calls()
                try:
                    self._drop_ended()
                    self._admit()
                    self._read_prompts()
                    self._step()
                except Exception as error:
                    _logger.exception("a step of the model failed; the texts in it are given up")
                    self._give_up(error)

    def _wait_for_work(self) -> bool:
        """True as soon as there is some, False when all is done and no more will come."""
        with self._changed:
            while True:
                if self._waiting or self._calls or any(row.job for row in self._rows):
                    return True
                if self._closing:
                    return False
                self._changed.wait()

    def _run_calls(self) -> None:
        while self._calls:
            function, future = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except TongganError as error:
                future.set_exception(error)
            except Exception as error:
                _logger.exception("a call of the model failed")
                future.set_exception(error)

    def _drop_ended(self) -> None:
        """Forget jobs that nobody waits for, and end those whose time is over."""
        for row in self._rows:
            if row.job is not None and (row.job.cancelled or row.job.late):
                self._end(row, None if row.job.cancelled else row.job.too_late())
        with self._changed:
            ended = [job for job, _ in self._waiting if job.cancelled or job.late]
            if ended:
                self._waiting = deque(each for each in self._waiting if each[0] not in ended)
        for job in ended:
            self._release()
            if not job.cancelled:
                job.receive(job.too_late())

    def _end(self, row: _Row, last: Piece | Exception | None) -> None:
        assert row.job is not None
        job, row.job, row.continuation, row.unread, row.unread_ids = row.job, None, None, None, []
        self._release()  # before the client hears of it, so that its next request finds the room
        if last is not None:
            job.receive(last)

    def _give_up(self, error: Exception) -> None:
        """The session may be in any state after a failed step: end its texts, and begin with a new one."""
        for row in self._rows:
            row.held = []
            if row.job is not None:
                self._end(row, error)
        self._session = self._new_session()

    def _admit(self) -> None:
        """Waiting jobs into free rows, each into the one that has read most of its prompt already."""
        while free := [row for row in self._rows if row.job is None]:
            with self._changed:
                if not self._waiting:
                    return
                job, continuation = self._waiting.popleft()
            ids = job.prompt.ids
            row = max(free, key=lambda row: (row.common_prefix(ids), -len(row.held)))
            kept = row.common_prefix(ids)
            row.job, row.continuation = job, continuation
            row.unread, row.unread_ids = job.prompt.embed(self._model.engine)[kept:], ids[kept:]
            row.held = row.held[:kept]
            self._session.truncate(torch.tensor([kept]), rows=torch.tensor([row.number]))

    def _read_prompts(self) -> None:
        """The next part of every prompt that is not read yet; the first token of those that are then."""
        rows = [row for row in self._rows if row.unread_ids]
        if not rows:
            return
        share = self._prefill_tokens // len(rows)
        parts = [row.unread[:share] for row in rows if row.unread is not None]
        values = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
        lengths = torch.tensor([len(part) for part in parts])
        mask = torch.arange(values.shape[1]) < lengths.unsqueeze(1)
        logits = self._session.prefill(values, mask=mask.to(values.device), rows=_numbers(rows))
        for row, part, row_logits in zip(rows, parts, logits, strict=True):
            assert row.unread is not None
            row.held += row.unread_ids[: len(part)]
            row.unread, row.unread_ids = row.unread[len(part) :], row.unread_ids[len(part) :]
            if not row.unread_ids:
                self._choose(row, row_logits)

    def _step(self) -> None:
        """One more token for every text whose prompt is read."""
        rows = [row for row in self._rows if row.continuation is not None and not row.unread_ids]
        if not rows:
            return
        last = [row.continuation.tokens[-1] for row in rows if row.continuation is not None]
        logits = self._session.step(torch.tensor(last).unsqueeze(1), rows=_numbers(rows))
        for row, id_, row_logits in zip(rows, last, logits[:, 0], strict=True):
            row.held.append(id_)
            self._choose(row, row_logits)

    def _choose(self, row: _Row, logits: Tensor) -> None:
        """The next token of ``row``; a text for which there is none takes no other with it."""
        job, continuation = row.job, row.continuation
        assert job is not None
        assert continuation is not None
        known = len(continuation.logprobs)
        try:
            id_ = continuation.choose(logits)
            piece = Piece(continuation.take_text(), [id_], list(continuation.logprobs[known:]), continuation.finished)
        except TongganError as error:
            self._end(row, error)
        except Exception as error:
            _logger.exception("a text failed")
            self._end(row, error)
        else:
            if piece.finish is not None:
                self._end(row, piece)
            else:
                job.receive(piece)


def _numbers(rows: Sequence[_Row]) -> Tensor:
    return torch.tensor([row.number for row in rows])

"""One text that a model is asked to write, as it travels from the request to the worker and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tonggan.errors import TimeLimitError
from tonggan.language.prompt import Piece
from tonggan.language.settings import GenerationConfig


@dataclass(eq=False)
class Job:
    """A text to write.

    Attributes:
        prompt: what it continues, made by the model's own ``prompt``.
        settings: how it is written.
        receive: told each piece, or the error that ended the job; called from the worker's thread, must not block.
        timeout: seconds from now in which it must be done.
        cancelled: set it to True, from any thread, and the job takes no further step and tells no more.
    """

    prompt: Any
    settings: GenerationConfig
    receive: Callable[[Piece | Exception], None]
    timeout: float
    cancelled: bool = False
    _start: float = field(default_factory=time.monotonic)

    def cancel(self) -> None:
        """Nobody waits for it any more; a job that is done stays done."""
        self.cancelled = True

    def hurry(self, seconds: float) -> None:
        """It must be done in so many seconds from now, if that is sooner."""
        self.timeout = min(self.timeout, time.monotonic() - self._start + seconds)

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() - self._start > self.timeout

    def too_late(self) -> TimeLimitError:
        """What to tell ``receive`` of a job that is late."""
        return TimeLimitError(
            "request",
            got=f"no end within {self.timeout:.3g} s",
            expected="an answer in the time that the server allows",
            remedy="Ask for fewer tokens, try when the server is less busy, or start it with a longer --timeout",
        )

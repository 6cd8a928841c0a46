"""What writes recordings down for clients, and one such work: called off when its client leaves."""

from __future__ import annotations

from collections.abc import Sequence

from tonggan.encoders.whisper import WINDOW_SECONDS
from tonggan.errors import UnreadableError
from tonggan.modalities.recordings import Recording
from tonggan.models.transcript import Transcriber, Transcript, TranscriptionConfig
from tonggan.progress import Progress
from tonggan.serving.batcher import Batcher
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError


class Revocable(Progress):
    """Work for a client that may leave: it can be called off while it is being done."""

    def __init__(self) -> None:
        self._is_cancelled = False

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._is_cancelled = True

    def require_client(self) -> None:
        """Raise RefusedError where nobody waits."""
        if self._is_cancelled:
            raise RefusedError(
                "request",
                got="a client that disconnected",
                expected="one that waits for the answer",
                remedy="Ask again",
                status=499,
            )


class Dictation(Revocable):
    """A recording to write down.

    Args:
        recording: within the limits of the server.
        config: how it is written down.
        max_seconds: that a recording may last here.
    """

    def __init__(self, recording: Recording, config: TranscriptionConfig, *, max_seconds: float) -> None:
        super().__init__()
        self.recording, self.config = recording, config
        self._max_seconds = max_seconds

    @classmethod
    def of(cls, raw: bytes, config: TranscriptionConfig, *, sample_rate: int, max_seconds: float) -> Dictation:
        """That of a file.

        Raises:
            RefusedError: it cannot be decoded, or is truncated.
        """
        try:
            return cls(Recording(raw, sample_rate=sample_rate), config, max_seconds=max_seconds)
        except UnreadableError as error:
            raise _damaged(error) from error

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:  # noqa: ARG002
        """Called after each window: ends the work that nobody waits for, or whose header promised less.

        Raises:
            RefusedError: so it is.
        """
        self.require_client()
        if done > self._max_seconds + WINDOW_SECONDS:
            raise RefusedError(
                "file", got=f"{done:,.1f} s", expected=f"at most {self._max_seconds:g} s, the limit of this server",
                remedy="Send a smaller file", status=413, param="file", code="too_large",
            )  # fmt: skip


class SpeechService:
    """A model that writes recordings down, one after the other.

    Args:
        transcriber: the model.
        config: limits.
    """

    def __init__(self, transcriber: Transcriber, *, config: ServerConfig) -> None:
        self.transcriber = transcriber
        self.jobs: Batcher[Dictation, Transcript] = Batcher(self._write, max_items=1, wait=0, queue=config.queue)

    def close(self) -> None:
        """Finish what was begun, then free the thread."""
        self.jobs.close()

    def _write(self, jobs: Sequence[Dictation]) -> list[Transcript]:
        try:
            return [self.transcriber.transcribe(job.recording, job.config, progress=job) for job in jobs]
        except UnreadableError as error:
            raise _damaged(error) from error


def _damaged(error: UnreadableError) -> RefusedError:
    return RefusedError(
        "file", got=error.got, expected=error.expected, remedy="Send the whole, undamaged file", param="file"
    )

"""What speaks texts for clients: what they ask, one such work, and the voice, which says one text after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from tonggan.errors import DataError
from tonggan.models.speech import Speech
from tonggan.models.voice import FASTEST, SLOWEST, Voice, check_text
from tonggan.serving.batcher import Batcher
from tonggan.serving.body import Body
from tonggan.serving.config import MAX_SPOKEN, ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.speech import Revocable


class SpeechRequest(Body):
    """``POST /v1/audio/speech``."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {"instructions": ("",), "stream_format": ("audio",)}

    model: str | None = None
    input: str = Field(pattern=r"\S", max_length=MAX_SPOKEN)
    voice: Literal["heart"] = "heart"
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    speed: float = Field(default=1.0, ge=SLOWEST, le=FASTEST)


class Utterance(Revocable):
    """A text to speak.

    Args:
        asked: what the client wants.

    Raises:
        RefusedError: the text has what the voice cannot say.
    """

    def __init__(self, asked: SpeechRequest) -> None:
        super().__init__()
        self.asked = asked
        try:
            check_text(asked.input)
        except DataError as error:
            raise RefusedError(
                "input", got=error.got, expected=error.expected, remedy=error.remedy, param="input"
            ) from error

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:  # noqa: ARG002
        """Called before each sentence: ends the work that nobody waits for; raises ``RefusedError``."""
        self.require_client()


class VoiceService:
    """A voice that speaks texts, one after the other.

    Args:
        voice: of the catalogue.
        config: limits.
    """

    def __init__(self, voice: Voice, *, config: ServerConfig) -> None:
        self._voice = voice
        self.jobs: Batcher[Utterance, Speech] = Batcher(self._speak, max_items=1, wait=0, queue=config.queue)

    def close(self) -> None:
        """Finish what was begun, then free the thread."""
        self.jobs.close()

    def _speak(self, jobs: Sequence[Utterance]) -> list[Speech]:
        return [self._voice.speak(job.asked.input, speed=job.asked.speed, progress=job) for job in jobs]

"""What was said in a recording, and when: segments as text, as subtitles and as JSON; and who writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from tonggan.config import Config
from tonggan.modalities.recordings import Recording
from tonggan.progress import Progress


@dataclass(frozen=True)
class Segment:
    """A passage.

    Attributes:
        start: seconds from the beginning of the recording.
        end: likewise.
        text: what was said.
        avg_logprob: mean log-probability of its tokens, where the model tells it.
        no_speech_prob: probability that nobody speaks there, where the model tells it.
    """

    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON, what is not known left out."""
        told = {"avg_logprob": self.avg_logprob, "no_speech_prob": self.no_speech_prob}
        known = {name: round(value, 4) for name, value in told.items() if value is not None}
        return {"start": round(self.start, 3), "end": round(self.end, 3), "text": self.text, **known}


@dataclass(frozen=True)
class Transcript:
    """All passages of a recording.

    Attributes:
        segments: in their order.
        duration: seconds of the recording.
        language: its code, where the model knows languages.
    """

    segments: Sequence[Segment]
    duration: float
    language: str | None = None

    @property
    def text(self) -> str:
        """What was said, passages joined by a blank, or by nothing where they are written without."""
        between = "" if self.language in _WITHOUT_BLANKS else " "
        return between.join(segment.text for segment in self.segments if segment.text)

    def to_srt(self) -> str:
        """Numbered subtitles in SubRip's format."""
        return "".join(
            f"{number}\n{_clock(segment.start)} --> {_clock(segment.end)}\n{segment.text}\n\n"
            for number, segment in enumerate(self.segments, 1)
        )

    def to_vtt(self) -> str:
        """Subtitles in the format of the web, WebVTT."""
        return "WEBVTT\n\n" + "".join(
            f"{_clock(segment.start, mark='.')} --> {_clock(segment.end, mark='.')}\n{segment.text}\n\n"
            for segment in self.segments
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "text": self.text,
            "language": self.language,
            "duration": round(self.duration, 3),
            "segments": [{"id": index, **segment.to_dict()} for index, segment in enumerate(self.segments)],
        }


class TranscriptionConfig(Config):
    """How a recording is written down."""

    language: str | None = None
    """Code of the spoken language, such as zh; null detects it."""
    prompt: str | None = Field(default=None, max_length=10_000)
    """Text that might precede the recording; its spelling, names and punctuation are imitated. Only its end is used if
    it is long."""
    temperature: float = Field(default=0.0, ge=0, le=1)
    """0 searches for the most likely text and samples only if that fails; above 0, texts are sampled."""
    beams: int = Field(default=5, ge=1, le=16)
    """Width of beam search."""


class Transcriber(Protocol):
    """Writes recordings down.

    Attributes:
        name: of the model.
        sample_rate: of the recordings that it reads.
    """

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...

    def check(self, config: TranscriptionConfig) -> None:
        """Nothing, where the model can do what ``config`` asks for.

        Raises:
            ConfigError: it cannot.
        """
        ...

    def transcribe(
        self, recording: Recording, config: TranscriptionConfig | None = None, *, progress: Progress | None = None
    ) -> Transcript:
        """What is said in ``recording``, which is at ``sample_rate``.

        Raises:
            ConfigError: as ``check``.
            UnreadableError: the recording breaks off.
        """
        ...


_WITHOUT_BLANKS = ("zh", "yue", "ja", "th", "lo", "my", "km")


def _clock(seconds: float, *, mark: str = ",") -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"

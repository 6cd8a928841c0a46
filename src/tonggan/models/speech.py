"""Speech that a voice has made: its samples, when each sentence is said, and the formats that it is written in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_file
from tonggan.models.transcript import Segment

SpeechFormat = Literal["wav", "flac", "mp3", "ogg", "opus", "pcm"]

_ENCODED: dict[SpeechFormat, tuple[str, str]] = {  # as libsndfile has them
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}


@dataclass(frozen=True, eq=False)
class Speech:
    """A text that is spoken.

    Attributes:
        samples: float32 ``[T]``, from -1 to 1.
        sample_rate: of them.
        sentences: what is said when, in seconds.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    sentences: Sequence[Segment]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.sample_rate

    def encoded(self, form: SpeechFormat) -> bytes:
        """As a file; ``pcm`` is the samples alone, as little-endian 16-bit integers."""
        integers = np.clip(np.rint(self.samples * 32767), -32768, 32767).astype("<i2")
        if form == "pcm":
            return integers.tobytes()
        import soundfile

        file = io.BytesIO()
        kind, subtype = _ENCODED[form]
        with soundfile.SoundFile(file, "w", self.sample_rate, channels=1, format=kind, subtype=subtype) as sound:
            # Ogg's encoder keeps all that it is given at once on the stack.
            for start in range(0, len(integers), self.sample_rate):
                sound.write(integers[start : start + self.sample_rate])
        return file.getvalue()

    def save(self, path: str | Path) -> None:
        """Write it, in the format that the name ends with.

        Raises:
            ConfigError: the name ends with no format that is known.
            DataError: the file cannot be written.
        """
        place = Path(path)
        content = self.encoded(format_of(place))
        try:
            with whole_file(place) as partial:
                partial.write_bytes(content)
        except OSError as error:
            raise DataError(
                f"file {place}",
                got=error.strerror or str(error),
                expected="a file that can be written",
                remedy="Free space or choose another place",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the samples."""
        return {"seconds": round(self.seconds, 3), "sentences": [each.to_dict() for each in self.sentences]}


def format_of(path: Path) -> SpeechFormat:
    """The format that the name of a file ends with.

    Raises:
        ConfigError: none that is known.
    """
    suffix = path.suffix.lower().removeprefix(".")
    for form in _ENCODED:
        if form == suffix:
            return form
    raise ConfigError(
        f"file {path}",
        got=f"the ending '{path.suffix}'" if path.suffix else "no ending",
        expected=f"one of {', '.join(f'.{form}' for form in _ENCODED)}",
        remedy="Name a sound file, such as hello.wav",
    )

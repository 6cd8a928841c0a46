"""Who writes recordings down: Whisper, or a finished run that reads recordings and writes texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.errors import ConfigError, DataError
from tonggan.evaluation.predict import evaluating
from tonggan.modalities.audio import AudioConfig
from tonggan.modalities.base import Decoded
from tonggan.modalities.recordings import Recording
from tonggan.models.transcriber import WhisperTranscriber
from tonggan.models.transcript import Segment, Transcriber, Transcript, TranscriptionConfig
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import is_run
from tonggan.tasks import TextTask

_WINDOWS_AT_ONCE = 16


def open_transcriber(name: str) -> Transcriber:
    """The transcriber that ``name`` means: ``whisper-base``, a model folder, or the folder of a finished run.

    Raises:
        TongganError: there is none, it is damaged, or needs a package that is not installed.
    """
    return RunTranscriber(Bundle.load(Path(name)), name=name) if is_run(Path(name)) else WhisperTranscriber.load(name)


def can_transcribe(bundle: Bundle) -> bool:
    """Whether a run reads one column of recordings and writes texts."""
    return len(_recordings(bundle)) == 1 and isinstance(bundle.task, TextTask)


def _recordings(bundle: Bundle) -> dict[str, AudioConfig]:
    """The columns of recordings that it reads."""
    return {
        name: modality.config
        for name, modality in bundle.modalities.items()
        if isinstance(modality.config, AudioConfig)
    }


class RunTranscriber:
    """A run as a transcriber: windows as long as it has learned from, each of which is a segment.

    Args:
        bundle: the run.
        name: what it is called.

    Raises:
        DataError: it does not read one column of recordings, or writes no texts.
    """

    def __init__(self, bundle: Bundle, *, name: str) -> None:
        self.name = name
        self._bundle = bundle
        inputs = _recordings(bundle)
        if not can_transcribe(bundle):
            writes = "texts" if isinstance(bundle.task, TextTask) else "no texts"
            raise DataError(
                f"run {name}",
                got=f"one that reads {len(inputs)} columns of recordings and writes {writes}",
                expected="one that writes down the recordings of one column",
                remedy="Use tonggan predict, or a run with the task transcribe",
            )
        self._input, self._config = next(iter(inputs.items()))

    @property
    def sample_rate(self) -> int:
        """Of the recordings that it reads."""
        return self._config.sample_rate

    def check(self, config: TranscriptionConfig) -> None:
        """Raise ConfigError where ``config`` asks for what a run has not learned."""
        for name in ("language", "prompt"):
            if getattr(config, name) is not None:
                raise ConfigError(
                    f"run {self.name}",
                    got=f"the setting '{name}'",
                    expected="none: it writes as its training texts are written",
                    remedy="Leave it out",
                )

    def transcribe(
        self, recording: Recording, config: TranscriptionConfig | None = None, *, progress: Progress | None = None
    ) -> Transcript:
        """What is said in ``recording``; each window of the run's ``max_seconds`` by itself."""
        config, progress = config or TranscriptionConfig(), progress or Progress()
        self.check(config)
        segments: list[Segment] = []
        most, rate = self._config.max_samples, self.sample_rate
        rest, start = np.zeros(0, dtype=np.float32), 0
        windows: list[NDArray[np.float32]] = []

        def write() -> None:
            nonlocal start
            for window, text in zip(windows, self._texts(windows), strict=True):
                segments.append(Segment(start / rate, (start + len(window)) / rate, text))
                start += len(window)
            windows.clear()
            progress.update("transcribe", done=start / rate, total=max(recording.seconds, start / rate))

        for block in recording.blocks():
            rest = np.concatenate([rest, block])
            while len(rest) > most:
                windows.append(rest[:most])
                rest = rest[most:]
                if len(windows) == _WINDOWS_AT_ONCE:
                    write()
        if len(rest):
            windows.append(rest)
        write()
        return Transcript([segment for segment in segments if segment.text], start / rate)

    def _texts(self, windows: list[NDArray[np.float32]]) -> list[str]:
        if not windows:
            return []
        integers = [np.clip(np.rint(window * 32768.0), -32768, 32767).astype(np.int16) for window in windows]
        inputs = self._bundle.collate([{self._input: Decoded(window, None)} for window in integers])
        with evaluating(self._bundle.model) as device, torch.no_grad():
            moved = {name: arrays.to(device) for name, arrays in inputs.items()}
            return [str(text) for text in self._bundle.task.decode(self._bundle.model(moved).cpu())]

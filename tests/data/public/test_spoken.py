"""Texts spoken by an external synthesizer: recordings that are the same each time, and what is said without it."""

import importlib.util

import numpy as np
import pytest
import soundfile

from tonggan.data.public.spoken import SAMPLE_RATE, Recording, speak
from tonggan.errors import DataError, MissingExtraError

needs_synthesizer = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="pip install --no-deps espeakng-loader==0.2.4"
)


@needs_synthesizer
def test_voices_speak_both_languages_the_same_way_each_time(tmp_path):
    said = [("en-us+m3", "red heart"), ("cmn+m3", "红心"), ("en-us+f2", "red heart")]
    for folder in (tmp_path, tmp_path / "again"):
        speak(Recording(voice, text, str(folder / f"{number}.flac")) for number, (voice, text) in enumerate(said))
    sounds = []
    for number in range(len(said)):
        samples, rate = soundfile.read(tmp_path / f"{number}.flac")
        assert rate == SAMPLE_RATE
        assert 0.3 < len(samples) / rate < 2
        assert np.abs(samples).max() > 0.1
        sounds.append(samples)
    for number in range(2):  # The last voice has breath, which is noise.
        assert (tmp_path / f"again/{number}.flac").read_bytes() == (tmp_path / f"{number}.flac").read_bytes()
    assert sounds[0].shape != sounds[2].shape or np.abs(sounds[0] - sounds[2]).max() > 0.1


@needs_synthesizer
def test_an_unknown_voice_is_named(tmp_path):
    with pytest.raises(DataError, match="no voice nosuch"):
        speak([Recording("nosuch", "red heart", str(tmp_path / "a.flac"))])


def test_without_the_package_the_exact_line_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"Run: pip install --no-deps espeakng-loader==0\.2\.4"):
        speak([Recording("en-us", "red heart", str(tmp_path / "a.flac"))])

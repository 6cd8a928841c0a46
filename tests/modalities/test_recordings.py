"""Recordings of any length, read in blocks."""

import io

import numpy as np
import pytest
import soundfile

from tonggan.errors import DataError, UnreadableError
from tonggan.modalities.audio import AudioConfig
from tonggan.modalities.recordings import Recording


def tone(seconds, *, rate=16_000):
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def encode(samples, file_format="WAV", *, rate=16_000, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize(("file_format", "rate"), [("WAV", 16_000), ("FLAC", 44_100), ("MP3", 8_000), ("OGG", 22_050)])
def test_blocks_are_what_the_modality_reads(file_format, rate, tmp_path):
    raw = encode(np.stack([tone(21, rate=rate), 0.5 * tone(21, rate=rate)], axis=1), file_format, rate=rate)
    expected = AudioConfig(max_seconds=30).build().decode(raw) / 32768
    path = tmp_path / "recording"
    path.write_bytes(raw)
    for source in (raw, path):
        recording = Recording(source, sample_rate=16_000)
        blocks = list(recording.blocks())
        assert recording.seconds == pytest.approx(21, abs=0.2)
        assert len(blocks) >= 3
        found = np.concatenate(blocks)
        assert abs(len(found) - len(expected)) <= 2
        size = min(len(found), len(expected)) - 400
        np.testing.assert_allclose(found[400:size], expected[400:size], atol=2e-3)


def test_samples_of_another_scale_keep_it_from_block_to_block():
    samples = np.concatenate([tone(12) * 20_000, tone(12) * 2])
    found = np.concatenate(list(Recording(encode(samples, subtype="FLOAT"), sample_rate=16_000).blocks()))
    np.testing.assert_allclose(found, samples / 32768, atol=1e-4)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"recording \S+nope.wav: got No such file or directory"):
        Recording(tmp_path / "nope.wav", sample_rate=16_000)
    cases = {
        "empty.wav": (b"", "a file of 0 bytes"),
        "short.wav": (encode(tone(1))[:16_044], "header promises 32,000 bytes, 16,000 are there"),
        "text.wav": (b"hello, this is no sound at all", "bytes that no decoder reads"),
        "nan.wav": (encode(np.full(16_000, np.nan, np.float32), subtype="FLOAT"), "NaN or infinite"),
        "short.flac": (encode(tone(30), "FLAC")[:9_000], "a truncated"),
        "call.amr": (b"#!AMR\n" + bytes(50), "damaged bytes.*Convert the recording to WAV or FLAC"),
    }
    for name, (raw, said) in cases.items():
        path = tmp_path / name
        path.write_bytes(raw)
        with pytest.raises(UnreadableError, match=rf"recording \S+{name}: got .*{said}") as caught:
            list(Recording(path, sample_rate=16_000).blocks())
        assert "cell" not in str(caught.value)
        assert "column" not in str(caught.value)

"""Recordings: formats, rates and channels, every kind of damage as an error, augmentation by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from clips_scene import RED, plain, write_clip
from contracts import check_config, check_modality
from tonggan.errors import UnreadableError
from tonggan.modalities import file_formats
from tonggan.modalities.audio import Audio, AudioAugment, AudioConfig
from tonggan.modalities.recordings import Recording
from tonggan.tokens import Arrays


def tone(seconds: float = 1.0, *, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def encode(samples: np.ndarray, file_format: str = "WAV", *, rate: int = 16_000, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_a_wav_at_the_same_rate_keeps_its_samples(subtype: str) -> None:
    decoded = AudioConfig().build().decode(encode(tone(), subtype=subtype))
    assert decoded.dtype == np.int16
    tolerance = 300 if subtype == "PCM_U8" else 1
    assert np.abs(decoded - np.rint(tone() * 32768)).max() <= tolerance


@pytest.mark.parametrize("file_format", ["FLAC", "OGG", "MP3", "AIFF"])
def test_other_formats_give_the_same_tone(file_format: str) -> None:
    decoded = AudioConfig().build().decode(encode(tone(), file_format))
    assert abs(len(decoded) - 16_000) < 100
    spectrum = np.abs(np.fft.rfft(decoded))
    assert round(spectrum.argmax() * 16_000 / len(decoded)) == pytest.approx(440, abs=2)


def test_resampling_keeps_the_tone() -> None:
    decoded = AudioConfig(sample_rate=8_000).build().decode(encode(tone(rate=44_100), rate=44_100))
    assert len(decoded) == 8_000
    expected = tone(rate=8_000) * 32768
    assert np.abs(decoded[200:-200] - expected[200:-200]).max() < 200


def test_channels_are_averaged() -> None:
    stereo = np.stack([tone(), np.zeros_like(tone())], axis=1)
    decoded = AudioConfig().build().decode(encode(stereo))
    assert np.abs(decoded - np.rint(tone() * 16384)).max() <= 1


def test_only_the_first_seconds_are_read() -> None:
    audio = AudioConfig(max_seconds=0.25).build()
    longer, exact = (audio.decode(encode(tone(seconds, rate=8_000), rate=8_000)) for seconds in (2.0, 0.25))
    assert len(exact) == audio.config.max_samples == 4_000
    assert len(longer) == 4_001, "one sample more says that there was more"
    assert audio.collate([longer, exact]).mask.sum(dim=1).tolist() == [4_000, 4_000]


@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "FLAC"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_unreadable(file_format: str, kept: float) -> None:
    raw = encode(tone(), file_format)
    with pytest.raises(UnreadableError):
        AudioConfig().build().decode(raw[: int(kept * len(raw))])


def test_a_truncated_wav_names_what_is_missing() -> None:
    with pytest.raises(UnreadableError, match="header promises 32,000 bytes, 16,000 are there"):
        AudioConfig().build().decode(encode(tone())[:16_044])


def test_a_streamed_wav_of_unstated_length_is_whole() -> None:
    raw = bytearray(encode(tone()))
    raw[40:44] = b"\xff\xff\xff\xff"
    assert len(AudioConfig().build().decode(bytes(raw))) == 16_000


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b"", "a file of 0 bytes"),
        (b"hello, I am a text", "bytes that no decoder reads"),
        (encode(np.zeros(0, dtype=np.float32)), "zero samples"),
        (encode(np.array([0.1, np.nan, 0.2], dtype=np.float32), subtype="FLOAT"), "samples that are NaN"),
        (encode(np.array([0.1, np.inf, 0.2], dtype=np.float32), subtype="FLOAT"), "samples that are NaN or infinite"),
    ],
    ids=["empty", "text", "no samples", "NaN", "infinite"],  # a file holds the time when it was written
)
def test_what_is_no_recording_says_so(raw: bytes, got: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        AudioConfig().build().decode(raw)
    assert caught.value.who == "recording"
    assert caught.value.got.startswith(got)
    assert caught.value.remedy


def ragged() -> Arrays:
    return (
        AudioConfig(sample_rate=1_000)
        .build()
        .collate([np.arange(1, 501, dtype=np.int16), None, np.full(200, -32768, dtype=np.int16)])
    )


def test_collate_pads_at_the_end() -> None:
    arrays = ragged()
    assert arrays.values.dtype == torch.float32
    assert arrays.values.shape == (3, 500)
    assert arrays.mask.sum(dim=1).tolist() == [500, 0, 200]
    assert arrays.values[0, 9] == 10 / 32768
    assert arrays.values[2, 199] == -1
    assert arrays.values[~arrays.mask].abs().sum() == 0
    assert AudioConfig().build().collate([None, None]).values.shape == (2, 1)


def varied(settings: AudioAugment | None, arrays: Arrays, *, seed: int = 0) -> Arrays:
    return Audio(AudioConfig(sample_rate=1_000, augment=settings)).vary(arrays, torch.Generator().manual_seed(seed))


def test_augment_off_changes_nothing() -> None:
    arrays = ragged()
    assert varied(None, arrays) is arrays
    assert torch.equal(varied(AudioAugment(gain=0, shift=0), arrays).values, arrays.values)


def test_augment_repeats_with_its_seed_and_keeps_absence() -> None:
    settings = AudioAugment(speed=0.1, noise=0.1)
    one, other, third = (varied(settings, ragged(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.values, other.values)
    assert not torch.equal(one.mask.sum(dim=1), third.mask.sum(dim=1))
    assert one.present.tolist() == [True, False, True]
    assert one.values.abs().max() <= 1
    assert one.values[~one.mask].abs().sum() == 0


@pytest.mark.parametrize("augment", [None, AudioAugment(speed=0.1, noise=0.1)])
def test_contract(augment: AudioAugment | None) -> None:
    recordings = [np.arange(1, 501, dtype=np.int16), np.full(200, -32768, dtype=np.int16), np.ones(7, np.int16), None]
    check_modality(AudioConfig(sample_rate=1_000, augment=augment).build(), "sound", {"sound": recordings})


def test_gain_is_one_factor_of_at_most_six_decibels() -> None:
    arrays = ragged()
    factors = (varied(AudioAugment(shift=0), arrays).values / arrays.values)[0]
    torch.testing.assert_close(factors, factors[:1].expand(500))
    assert 0.5 < factors[0] < 2


def test_shift_moves_by_whole_samples() -> None:
    arrays = ragged()
    for seed in range(6):
        moved = varied(AudioAugment(gain=0, shift=0.05), arrays, seed=seed)
        length = int(moved.mask[0].sum())
        offset = 500 - length
        assert abs(offset) <= 50
        expected = torch.cat([torch.zeros(max(0, -offset)), arrays.values[0, max(0, offset) : 500]])
        torch.testing.assert_close(moved.values[0, :length], expected)


def test_speed_stretches_a_ramp_into_a_ramp() -> None:
    moved = varied(AudioAugment(gain=0, shift=0, speed=0.2), ragged())
    length = int(moved.mask[0].sum())
    steps = moved.values[0, :length].diff()[:-1] * 32768
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=1e-2, atol=1e-2)
    assert 500 / length == pytest.approx(float(steps[0]), rel=0.01)
    assert length != 500


def test_noise_is_relative_to_the_recording() -> None:
    arrays = ragged()
    added = varied(AudioAugment(gain=0, shift=0, noise=0.1), arrays).values - arrays.values
    assert 0 < added[0].std() <= 0.1 * arrays.values[0].square().mean().sqrt() * 1.1
    assert added[~arrays.mask].abs().sum() == 0


def test_config_and_cache_key() -> None:
    check_config(AudioConfig(augment=None))
    settings = ({}, {"sample_rate": 8_000}, {"max_seconds": 2.5})
    assert len({Audio(AudioConfig(**one)).cache_key() for one in settings}) == 3


@pytest.mark.parametrize("loudest", [800.0, 16_000.0, 32_768.0])
def test_floats_in_the_range_of_integers_keep_their_loudness(loudest: float) -> None:
    decoded = AudioConfig().build().decode(encode(tone() * loudest, subtype="FLOAT"))
    assert np.abs(decoded - np.clip(np.rint(tone() * loudest), -32_768, 32_767)).max() <= 1


def test_one_full_scale_holds_for_soft_and_loud() -> None:
    audio = AudioConfig(full_scale=2.0**23).build()
    assert audio.greatest(encode(tone() * 2.0**22, subtype="FLOAT")) == pytest.approx(2.0**21, rel=0.01)
    assert audio.greatest(encode(tone())) is None
    assert np.abs(audio.decode(encode(tone() * 2.0**20, subtype="FLOAT"))).max() == pytest.approx(2_048, rel=0.01)
    with pytest.raises(UnreadableError, match="beyond 1 as full scale"):
        AudioConfig(full_scale=1).build().decode(encode(tone() * 800, subtype="FLOAT"))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_width_of_sample_is_the_same_tone(subtype: str) -> None:
    decoded = AudioConfig().build().decode(encode(tone() / 2, subtype=subtype))
    assert np.abs(decoded - np.rint(tone() * 16_384)).max() <= (257 if subtype == "PCM_U8" else 1)


def test_channels_of_opposite_phase_are_not_silence() -> None:
    stereo = np.stack([tone() / 2, -tone() / 2], axis=1)
    assert np.abs(AudioConfig().build().decode(encode(stereo)) - np.rint(tone() * 16_384)).max() <= 1


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\x00\x00\x00\x20ftypM4A ", "MPEG-4 audio"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA)"),
        (b"#!AMR\n", "AMR"),
        (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    ],
)
def test_a_format_that_pyav_reads_is_named_where_that_is_not_installed(
    start: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_formats, "find_spec", lambda _: None)
    with pytest.raises(UnreadableError) as caught:
        AudioConfig().build().decode(start + bytes(2_000))
    assert caught.value.got.startswith(name)
    assert "install it with pip install 'tonggan[video]', or convert it to WAV" in caught.value.got


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_the_sound_track_of_a_clip(tmp_path: Path, suffix: str) -> None:
    codec = "libvpx" if suffix == ".webm" else "libx264"
    path = write_clip(tmp_path / f"clip{suffix}", [plain(RED)] * 10, sound=tone(), codec=codec)
    decoded = AudioConfig().build().decode(path)
    assert abs(len(decoded) - 16_000) < 1_600
    spectrum = np.abs(np.fft.rfft(decoded))
    assert round(spectrum.argmax() * 16_000 / len(decoded)) == pytest.approx(440, abs=2)
    assert 0.4 < np.abs(decoded[2_000:-2_000]).max() / 32768 < 0.6
    assert np.array_equal(AudioConfig().build().decode(path.read_bytes()), decoded)
    short = AudioConfig(max_seconds=0.25).build().decode(path)
    assert len(short) == 4_001
    blocks = np.concatenate(list(Recording(path, sample_rate=16_000).blocks()))
    assert np.abs(blocks[: len(decoded)] * 32768 - decoded[: len(blocks)]).max() < 200


def test_a_clip_without_a_track_and_one_of_silence(tmp_path: Path) -> None:
    audio = AudioConfig().build()
    silence = write_clip(tmp_path / "silence.mp4", [plain(RED)] * 10, sound=np.zeros(16_000, dtype=np.float32))
    assert audio.oddities(audio.decode(silence)) == ["silent"]
    with pytest.raises(UnreadableError) as caught:
        audio.decode(write_clip(tmp_path / "clip.mp4", [plain(RED)] * 10))
    assert caught.value.got == audio.empty


def test_a_clip_that_breaks_off_has_no_sound(tmp_path: Path) -> None:
    raw = write_clip(tmp_path / "clip.mp4", [plain(RED)] * 10, sound=tone()).read_bytes()
    with pytest.raises(UnreadableError, match="truncated file"):
        AudioConfig().build().decode(raw[: len(raw) // 2])

from pathlib import Path

import numpy as np
import pytest
import soundfile

from public_sets import get, needs_mirror, parts_of
from tonggan.data.catalogue import find_set
from tonggan.data.fetch import fetch
from tonggan.data.public import connected_digits
from tonggan.data.public.connected_digits import NOISE, SAMPLE_RATE, WORDS, Recording, join, official_parts
from tonggan.progress import Progress

FEW = {"train": 60, "valid": 20, "test": 40}


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, list[Recording]]:
    entry = find_set("connected_digits")
    files = {file.path: fetch(file, folder=tmp_path, source=entry.source, progress=Progress()) for file in entry.files}
    return official_parts(files)


def test_clips_are_joined_unchanged_but_for_the_noise() -> None:
    clips = [np.full(1_000, 1_000, dtype=np.int16), np.full(500, -30_000, dtype=np.int16)]
    joined = join(clips, generator=np.random.default_rng(3))
    before, between, after = (np.random.default_rng(3).uniform(0.05, 0.4, size=3) * SAMPLE_RATE).astype(int)
    assert joined.dtype == np.int16
    assert len(joined) == before + 1_000 + between + 500 + after
    expected = np.zeros(len(joined))
    expected[before : before + 1_000] = 1_000
    expected[before + 1_000 + between : -after] = -30_000
    noise = joined - expected
    assert np.abs(noise).max() < 6 * NOISE[1]
    assert NOISE[0] / 2 < noise.std() < NOISE[1]
    assert abs(noise[:before].std() / noise[before : before + 1_000].std() - 1) < 0.2, "the same noise over all"


def test_loud_clips_are_not_wrapped_around() -> None:
    clip = np.full(100, 32_767, dtype=np.int16)
    assert join([clip], generator=np.random.default_rng(0)).min() > -100


@needs_mirror
def test_no_recording_is_in_two_parts(parts: dict[str, list[Recording]]) -> None:
    assert {split: len(each) for split, each in parts.items()} == {"train": 2_400, "valid": 300, "test": 300}
    assert {each.index for each in parts["test"]} == set(range(5))
    keys = [{(each.speaker, each.digit, each.index) for each in part} for part in parts.values()]
    assert len(set.union(*keys)) == 3_000


@needs_mirror
def test_strings_say_what_their_row_tells(
    parts: dict[str, list[Recording]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connected_digits, "NUM_STRINGS", FEW)
    tables = get("connected_digits", tmp_path / "once")
    rows = parts_of("connected_digits", tmp_path / "once")
    assert {split: len(part) for split, part in rows.items()} == FEW
    assert {row["length"] for row in rows["train"]} == set("1234567")
    lengths = [[int(row["length"]) for row in rows[split]] for split in ("train", "test")]
    assert np.mean(lengths[0]) < 3.3 < np.mean(lengths[1]), "short strings are frequent in training alone"
    assert len({row["speaker"] for row in rows["train"]}) == 6
    assert parts_of("connected_digits", tmp_path / "again") == rows
    for split, part in rows.items():
        for row in part[:10]:
            content = tables[split].parent / row["audio"]
            assert content.read_bytes() == (tmp_path / "again/sets/connected_digits" / row["audio"]).read_bytes()
            samples, rate = soundfile.read(content, dtype="int16")
            assert rate == SAMPLE_RATE
            assert len(row["digits"].split()) == int(row["length"])
            first, last = (WORDS.index(row["digits"].split()[place]) for place in (0, -1))
            assert holds(samples[: len(samples) // 2 + 8_000], parts[split], row["speaker"], first)
            assert holds(samples[-(len(samples) // 2) - 8_000 :], parts[split], row["speaker"], last)


def holds(samples: np.ndarray, recordings: list[Recording], speaker: str, digit: int) -> bool:
    """Whether one of the speaker's recordings of the digit is in the samples, up to the noise."""
    signal = samples.astype(float)
    energy = np.concatenate([[0.0], np.cumsum(signal**2)])
    for each in recordings:
        if (each.speaker, each.digit) != (speaker, digit) or len(each.samples) > len(signal):
            continue
        clip = each.samples.astype(float)
        size, last = 1 << 17, len(signal) - len(clip) + 1
        product = np.fft.irfft(np.fft.rfft(signal, size) * np.conj(np.fft.rfft(clip, size)), size)[:last]
        # |signal - clip|^2 at each place, but for the clip's own energy
        start = int((energy[len(clip) :] - energy[:last] - 2 * product).argmin())
        if np.abs(signal[start : start + len(clip)] - clip).max() < 8 * NOISE[1]:
            return True
    return False


@needs_mirror
def test_the_speakers_of_the_test_are_heard_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connected_digits, "NUM_STRINGS", FEW)
    rows = parts_of("connected_digits_speakers", tmp_path)
    speakers = {split: {row["speaker"] for row in part} for split, part in rows.items()}
    assert speakers["test"] == {"theo", "yweweler"}
    assert speakers["train"] == speakers["valid"] == {"george", "jackson", "lucas", "nicolas"}

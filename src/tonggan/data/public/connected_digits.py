"""Strings of one to seven spoken digits: recordings of one speaker joined with silence, from the spoken digits (FSDD).

The official split is kept: test strings are made of the official test recordings alone. Validation strings are made of
training recordings that no training string has. Digits and recordings are drawn at random, so nothing but the sound
tells the next digit. Lengths are equally frequent, but for training strings: a length is the rarer the longer it is,
because a decoder learns from short strings which sound is which digit, and only then where in a long one to listen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tonggan.data.public.writing import write_csv, write_file
from tonggan.progress import Progress

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLUMNS = ("audio", "digits", "speaker", "length")
NUM_STRINGS = {"train": 8_000, "valid": 500, "test": 1_000}
SAMPLE_RATE = 8_000
LENGTHS = np.arange(1, 8)
SILENCE_SECONDS = (0.05, 0.4)
# Standard deviation of the noise over a whole string, in steps of 16-bit samples: quieter than the recordings' own.
NOISE = (1.0, 8.0)
SEED = 0
# The official split takes the recordings 0 to 4 of each speaker and digit for the test.
VALID_INDEX = range(5, 10)


@dataclass(frozen=True)
class Recording:
    """One spoken digit, int16 samples at 8 kHz."""

    speaker: str
    digit: int
    index: int
    samples: NDArray[np.int16]


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns audio, digits (as words), speaker, length."""
    tables = {split: folder / f"{split}.csv" for split in NUM_STRINGS}
    if not all(path.exists() for path in tables.values()):
        write_tables(tables, official_parts(files), progress)
    return tables


def official_parts(files: Mapping[str, Path]) -> dict[str, list[Recording]]:
    """The recordings by part; no recording is in two."""
    learned = read_recordings(files["fsdd/train.parquet"])
    return {
        "train": [each for each in learned if each.index not in VALID_INDEX],
        "valid": [each for each in learned if each.index in VALID_INDEX],
        "test": read_recordings(files["fsdd/test.parquet"]),
    }


def read_recordings(path: Path) -> list[Recording]:
    """The recordings in one of the published Parquet files."""
    import soundfile

    return [
        Recording(
            row["speaker"],
            row["label"],
            row["index"],
            soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0],
        )
        for row in pq.read_table(path, columns=["audio", "label", "speaker", "index"]).to_pylist()
    ]


def write_tables(tables: Mapping[str, Path], parts: Mapping[str, Sequence[Recording]], progress: Progress) -> None:
    """Write each part's table of strings, and the recordings beside it."""
    generator = np.random.default_rng(SEED)
    for split, path in tables.items():
        rows = write_strings(
            parts[split],
            NUM_STRINGS[split],
            folder=path.parent,
            group=split,
            mostly_short=split == "train",
            generator=generator,
            progress=progress,
        )
        write_csv(path, rows, columns=COLUMNS)


def write_strings(
    recordings: Sequence[Recording],
    count: int,
    *,
    folder: Path,
    group: str,
    mostly_short: bool,
    generator: np.random.Generator,
    progress: Progress,
) -> list[dict[str, object]]:
    """Write ``count`` strings of digits as FLAC files below ``folder / group``; their rows, with relative paths.

    The frequency of a length is in inverse proportion to it with ``mostly_short``, and the same for all without.
    """
    import soundfile

    choices: dict[str, dict[int, list[Recording]]] = {}
    for recording in recordings:
        choices.setdefault(recording.speaker, {}).setdefault(recording.digit, []).append(recording)
    speakers = sorted(choices)
    weights = 1 / LENGTHS if mostly_short else np.ones(len(LENGTHS))
    lengths = generator.choice(LENGTHS, size=count, p=weights / weights.sum())
    rows: list[dict[str, object]] = []
    for number, length in enumerate(progress.track(lengths, label=f"Joining digits, {group}", total=count)):
        speaker = speakers[generator.integers(len(speakers))]
        digits = [int(digit) for digit in generator.integers(len(WORDS), size=length)]
        chosen = [choices[speaker][digit] for digit in digits]
        samples = join([each[generator.integers(len(each))].samples for each in chosen], generator=generator)
        content = io.BytesIO()
        soundfile.write(content, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        relative = f"{group}/{number:05d}.flac"
        write_file(folder / relative, content.getvalue())
        words = " ".join(WORDS[digit] for digit in digits)
        rows.append({"audio": relative, "digits": words, "speaker": speaker, "length": len(digits)})
    return rows


def join(clips: Sequence[NDArray[np.int16]], *, generator: np.random.Generator) -> NDArray[np.int16]:
    """The clips with silence before, between and after them, and one level of light noise over all."""
    lengths = generator.uniform(*SILENCE_SECONDS, size=len(clips) + 1) * SAMPLE_RATE
    silences = [np.zeros(int(length), dtype=np.int16) for length in lengths]
    pieces = [piece for pair in zip(silences, clips, strict=False) for piece in pair]
    samples = np.concatenate([*pieces, silences[-1]])
    noise = generator.normal(0, generator.uniform(*NOISE), size=len(samples))
    return np.clip(np.rint(samples + noise), -32768, 32767).astype(np.int16)

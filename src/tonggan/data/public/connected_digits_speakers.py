"""Strings of spoken digits whose test speakers are heard nowhere else: the last two of the six, by name.

Validation strings come from the speakers of the training part, in recordings that no training string has; so they tell
less of a new voice than the test does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.connected_digits import NUM_STRINGS, VALID_INDEX, read_recordings, write_tables
from tonggan.progress import Progress

TEST_SPEAKERS = ("theo", "yweweler")


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns audio, digits (as words), speaker, length."""
    tables = {split: folder / f"{split}.csv" for split in NUM_STRINGS}
    if not all(path.exists() for path in tables.values()):
        recordings = [each for path in files.values() for each in read_recordings(path)]
        known = [each for each in recordings if each.speaker not in TEST_SPEAKERS]
        parts = {
            "train": [each for each in known if each.index not in VALID_INDEX],
            "valid": [each for each in known if each.index in VALID_INDEX],
            "test": [each for each in recordings if each.speaker in TEST_SPEAKERS],
        }
        write_tables(tables, parts, progress)
    return tables

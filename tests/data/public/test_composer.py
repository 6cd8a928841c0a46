from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from public_sets import parts_of
from tonggan.data.public.composer import MOMENTS, SAMPLE_RATE, SECONDS, Note, played, written


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("music21", "more_itertools")), reason="Run: pip install music21==10.5.1"
)
def test_no_work_is_in_two_parts(tmp_path: Path) -> None:
    parts = parts_of("composer", tmp_path)
    works = {split: {row["work"] for row in rows} for split, rows in parts.items()}
    assert not works["train"] & works["valid"]
    assert not (works["train"] | works["valid"]) & works["test"]
    for rows in parts.values():
        counts = Counter(row["composer"] for row in rows)
        assert len(counts) == 5
        assert min(counts.values()) >= 8
    for row in parts["test"]:
        assert row["notes"].count(",") == MOMENTS - 1
        assert len(set(row["notes"].split())) > 8


def test_notes_are_written_by_the_moment_at_which_they_begin() -> None:
    text = written([Note(64, "E4", 0, 1), Note(48, "C3", 0, 4), Note(66, "F#4", 2, 3)])
    assert text.startswith("C3x4 E4, , F#4, ,")
    assert text.count(",") == MOMENTS - 1


def test_a_note_sounds_at_its_pitch_while_it_lasts() -> None:
    sound = played([Note(69, "A4", 0, 24)])
    assert len(sound) == SECONDS * SAMPLE_RATE
    half = len(sound) // 2
    assert np.abs(sound[:half]).max() == pytest.approx(0.8)
    assert not sound[half:].any()
    spectrum = np.abs(np.fft.rfft(sound[:half]))
    assert np.argmax(spectrum) * SAMPLE_RATE / half == pytest.approx(440, abs=1)


def test_no_notes_are_silence() -> None:
    assert not played([]).any()

"""Who composed it: excerpts from the scores that come with the package ``music21``, as notes and played.

An excerpt is 48 moments at which a note begins, from anywhere in a piece, played in ten seconds: so neither the tempo
nor the note values of a time tell its composer. No work has excerpts in two parts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.public.writing import write_csv
from tonggan.errors import DataError, MissingExtraError
from tonggan.progress import Progress

COLUMNS = ("sound", "notes", "composer", "work")
COMPOSERS = ("bach", "beethoven", "monteverdi", "mozart", "palestrina")
VERSION = "10.5.1"
EXCERPTS, MOMENTS = 120, 48
SECONDS, SAMPLE_RATE = 10.0, 16_000
# By turns of a composer's works.
_PARTS = ("train", "train", "valid", "train", "test")
_PARTIALS = np.arange(1, 7)


@dataclass(frozen=True)
class Note:
    """A sounding note: MIDI number, and the moments at which it begins and ends, counted in the excerpt."""

    pitch: int
    name: str
    begin: int
    end: int


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns sound, notes, composer, work.

    Raises:
        MissingExtraError: music21 is not installed.
        DataError: it is another version.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    scores = _scores()
    rows: dict[str, list[dict[str, str]]] = {split: [] for split in tables}
    tasks = [(composer, work, path) for composer, works in scores.items() for work, paths in works for path in paths]
    parts = {
        (composer, work): _PARTS[place % len(_PARTS)]
        for composer, works in scores.items()
        for place, (work, _) in enumerate(works)
    }
    for composer, work, path in progress.track(tasks, label="Reading scores", total=len(tasks)):
        wanted = -(-EXCERPTS // sum(len(paths) for _, paths in scores[composer]))
        for number, notes in enumerate(_excerpts(path, count=wanted)):
            sound = f"sounds/{composer}-{_slug(work)}-{path.stem}-{number}.flac"
            _write_sound(folder / sound, played(notes))
            row = {"sound": sound, "notes": written(notes), "composer": composer, "work": f"{composer} {work}"}
            rows[parts[composer, work]].append(row)
    return {split: write_csv(path, rows[split], columns=COLUMNS) for split, path in tables.items()}


def _music21() -> Any:
    try:
        import music21
    except ImportError as error:
        raise MissingExtraError(
            "data set 'composer'",
            got=f"no module '{error.name}'",
            expected="music21 and what it needs",
            remedy=f"Run: pip install music21=={VERSION}",
        ) from error
    if music21.__version__ != VERSION:
        raise DataError(
            "data set 'composer'",
            got=f"music21 {music21.__version__}",
            expected=f"music21 {VERSION}, whose scores these are",
            remedy=f"Run: pip install music21=={VERSION}",
        )
    return music21


def _scores() -> dict[str, list[tuple[str, list[Path]]]]:
    """By composer the works and their files, in the order of hashes of their names."""
    found: dict[str, dict[str, list[Path]]] = {composer: {} for composer in COMPOSERS}
    root = Path(_music21().__file__).parent / "corpus"
    for composer in COMPOSERS:
        for path in sorted((root / composer).rglob("*")):
            if path.suffix in (".mxl", ".krn") and not (path.suffix == ".krn" and path.with_suffix(".mxl").exists()):
                found[composer].setdefault(_work_of(path, root / composer), []).append(path)
    return {composer: _chosen(works) for composer, works in found.items()}


def _chosen(works: Mapping[str, Sequence[Path]]) -> list[tuple[str, list[Path]]]:
    """All works, or one movement each of as many as there are excerpts."""
    ordered = sorted(works, key=_digest)
    if len(ordered) > EXCERPTS // 2:
        return [(work, [min(works[work], key=lambda path: _digest(path.name))]) for work in ordered[:EXCERPTS]]
    return [(work, list(works[work])) for work in ordered]


def _work_of(path: Path, folder: Path) -> str:
    """A mass by its title, a quartet by its folder, a chorale or madrigal by its number."""
    if path.suffix == ".krn":
        title = re.search(rb"^!!!OPR:\s*(.+?)\s*$", path.read_bytes(), re.MULTILINE)
        return title[1].decode("latin-1") if title else path.stem
    inner = path.relative_to(folder)
    return inner.parts[0] if len(inner.parts) > 1 else re.sub(r"[-_](old|sc|a|b)$", "", path.stem)


def _excerpts(path: Path, *, count: int) -> Iterator[list[Note]]:
    """Up to ``count`` excerpts of a score, as far apart as they can be; of a shorter one there is none."""
    sounding = _music21().converter.parse(path).stripTies().flatten().notes
    spans = [
        (pitch.midi, pitch.nameWithOctave, float(each.offset), float(each.offset + each.duration.quarterLength))
        for each in sounding
        for pitch in getattr(each, "pitches", ())
        if each.duration.quarterLength > 0
    ]
    moments = sorted({begin for _, _, begin, _ in spans})
    room = len(moments) - MOMENTS
    if room <= 0:
        return
    starts = sorted({round(place) for place in np.linspace(0, room - 1, count + 2)[1:-1]})
    for start in starts:
        chosen = np.array(moments[start : start + MOMENTS + 1])
        yield [
            Note(pitch, name, int(np.searchsorted(chosen, begin)), min(int(np.searchsorted(chosen, end)), MOMENTS))
            for pitch, name, begin, end in spans
            if chosen[0] <= begin < chosen[-1]
        ]


def written(notes: Sequence[Note]) -> str:
    """The notes by the moment at which they begin, low to high: ``C3x4 E4 G4, F4``; ``x4`` sounds for four moments."""
    moments: list[list[str]] = [[] for _ in range(MOMENTS)]
    for note in sorted(notes, key=lambda each: (each.begin, each.pitch)):
        length = note.end - note.begin
        moments[note.begin].append(note.name if length <= 1 else f"{note.name}x{length}")
    return ", ".join(" ".join(names) for names in moments)


def played(notes: Sequence[Note]) -> NDArray[np.float32]:
    """The notes as sound ``[samples]``, all moments equally long: six partials that fade, as of a plucked string."""
    step = SECONDS / MOMENTS
    sound = np.zeros(round(SECONDS * SAMPLE_RATE))
    for note in notes:
        begin, end = round(note.begin * step * SAMPLE_RATE), round(note.end * step * SAMPLE_RATE)
        time = np.arange(end - begin) / SAMPLE_RATE
        frequencies = 440 * 2 ** ((note.pitch - 69) / 12) * _PARTIALS
        audible = frequencies < SAMPLE_RATE / 2
        waves = np.sin(2 * np.pi * np.outer(frequencies[audible], time)) / _PARTIALS[audible, None] ** 1.5
        fading = np.exp(-1.5 * time) * np.minimum(1, time / 0.01) * np.minimum(1, (time[-1:] - time) / 0.02)
        sound[begin:end] += waves.sum(0) * fading
    loudest = np.abs(sound).max()
    return (0.8 * sound / loudest if loudest else sound).astype(np.float32)


def _write_sound(path: Path, samples: NDArray[np.float32]) -> None:
    import soundfile

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        soundfile.write(partial, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        partial.replace(path)


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text).strip("-").lower()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

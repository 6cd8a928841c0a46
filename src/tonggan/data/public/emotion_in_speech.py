"""Emotions of German sentences that ten actors spoke (Burkhardt et al. 2005): ``emodb``, no actor in two parts.

The same ten sentences were spoken in every emotion, so that their words tell nothing about it. One woman and one man
are held out for the test; the column ``speaker`` is for cutting the rest by actor. Of the recordings the copy that is
read holds two seconds each, with silence behind the shorter ones.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import write_csv, write_file
from tonggan.progress import Progress

COLUMNS = ("recording", "sentence", "emotion", "speaker")
# A man and a woman; the recordings of an actor begin with the number.
HELD_OUT = ("15", "16")
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv`` of eight actors and ``test.csv`` of two: recording, sentence, emotion, speaker."""
    tables = {split: folder / f"{split}.csv" for split in ("train", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    rows: dict[str, list[dict[str, str]]] = {split: [] for split in tables}
    with zipfile.ZipFile(files["emodb/flac.zip"]) as archive:
        names = sorted(archive.namelist())
        for name in progress.track(names, label="Unpacking recordings", total=len(names)):
            recording = f"recordings/{name}"
            write_file(folder / recording, archive.read(name))
            speaker, sentence, emotion = name[:2], name[2:5], name[5]
            rows["test" if speaker in HELD_OUT else "train"].append(
                {
                    "recording": recording,
                    "sentence": SENTENCES[sentence],
                    "emotion": EMOTIONS[emotion],
                    "speaker": speaker,
                }
            )
    return {split: write_csv(path, rows[split], columns=COLUMNS) for split, path in tables.items()}

"""The drawings and names of ``emoji_space``, and the names as voices of a synthesizer speak them.

Each emoji to learn from is there twice, spoken by two voices in each language. A third voice, which nobody has learned
from, speaks what is chosen by and what is asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public import emoji_space
from tonggan.data.public.spoken import Recording, speak
from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress

COLUMNS = ("drawing", "english", "chinese", "spoken_english", "spoken_chinese", "group")
_NAMES = "names"
_LEARNED, _HELD_OUT = ("m3", "f2"), ("f4",)
_LANGUAGES = {"english": "en-us", "chinese": "cmn"}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv`` and ``test.csv``: drawings, names, and recordings of these beside them.

    Raises:
        MissingExtraError: a package is not installed.
        DataError: the synthesizer failed.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    for split, silent in emoji_space.prepare(files, folder / _NAMES, progress).items():
        with silent.open(newline="", encoding="utf-8") as file:
            emojis = list(csv.DictReader(file))
        recordings, rows = [], []
        for variant in _LEARNED if split == "train" else _HELD_OUT:
            for emoji in emojis:
                row = emoji | {"drawing": f"{_NAMES}/{emoji['drawing']}"}
                for language, voice in _LANGUAGES.items():
                    path = f"recordings/{language}/{variant}/{Path(emoji['drawing']).stem}.flac"
                    row[f"spoken_{language}"] = path
                    recordings.append(Recording(f"{voice}+{variant}", emoji[language], str(folder / path)))
                rows.append(row)
        progress.say(f"Speaking {len(recordings):,} names")
        speak(recordings)
        write_csv(tables[split], rows, columns=COLUMNS)
    return tables

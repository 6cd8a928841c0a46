"""Drawings of another style than ``starter`` has learned from: found as it comes, and after a fit of few pairs.

    npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
    python benchmarks/other_drawings.py --drawings package/img/google/64 --out runs/other_drawings

The drawings are Google's (Noto, 64 pixels) with their English and Chinese names. Asked for are 200 emojis that are in
no part that ``starter`` has learned from, nor is one of the same family; 40, 150 and 300 others are fitted, by
``start=null`` from these alone and by the default on from ``starter``. Questions are the names, and phrases with them
that nothing was chosen by. Pictures are read as an index reads them.

``--spoken`` also has the names spoken, by voices that ``starter`` has not heard (eSpeak NG, two for what is asked for
and one other to learn from), and asks for sounds by words, for drawings by sounds and for sounds by drawings.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.public.emojis import code_points, read_names
from tonggan.data.public.spoken import Recording, speak
from tonggan.modalities.base import MediaModality
from tonggan.progress import Progress
from tonggan.space.features import Features
from tonggan.space.index_folder import query_modalities
from tonggan.space.matcher import Matcher, open_matcher

COUNTS = (40, 150, 300)
NUM_TEST = 200
COLUMNS = ("drawing", "english", "chinese")
QUESTIONS = {
    "words": {"english": ("{}",), "chinese": ("{}",)},
    "phrases": {
        "english": ("which one is the {}?", "give me something with {}", "{} on a white background"),
        "chinese": ("哪一个是{}？", "给我一个有{}的", "白色背景上的{}"),
    },
}
SPOKEN = {"english": "spoken_english", "chinese": "spoken_chinese"}
VOICES = {"fitted": ("en-us+m7", "cmn+m7"), "asked": ("en-gb-scotland+f3", "cmn+f3")}
HEARD = (
    ("english", "spoken_english"),
    ("chinese", "spoken_chinese"),
    ("spoken_english", "drawing"),
    ("spoken_chinese", "drawing"),
    ("drawing", "spoken_english"),
    ("drawing", "spoken_chinese"),
)
Row = dict[str, str]


def rows_of(drawings: Path) -> tuple[list[Row], list[Row]]:
    """Those to fit, and those to ask for."""
    tables = find_set("emoji_space").get(cache=cache_folder(), progress=Progress())
    known: dict[str, str] = {}
    for split, path in tables.items():
        with path.open(newline="", encoding="utf-8") as file:
            known |= {Path(row["drawing"]).stem: split for row in csv.DictReader(file)}
    rows: dict[str, list[Row]] = {"train": [], "valid": [], "test": []}
    for emoji, names in read_names().items():
        points = code_points(emoji)
        paths = [drawings / f"{each}.png" for each in (points.lower(), points.lower().replace("-fe0f", ""))]
        path = next((each for each in paths if each.exists()), None)
        if path is not None and points in known:
            row = {"drawing": str(path.absolute()), "english": names["en"], "chinese": names["zh"]}
            rows[known[points]].append(row)
    rng = np.random.default_rng(0)
    unseen, seen = (
        [part[place] for place in rng.permutation(len(part)).tolist()]
        for part in (rows["test"] + rows["valid"], rows["train"])
    )
    return (unseen[NUM_TEST:] + seen)[: max(COUNTS)], unseen[:NUM_TEST]


def spoken(rows: list[Row], part: str, folder: Path) -> list[Row]:
    """The rows with recordings of their names."""
    made, recordings = [], []
    for number, row in enumerate(rows):
        made.append(dict(row))
        for (language, column), voice in zip(SPOKEN.items(), VOICES[part], strict=True):
            made[-1][column] = str((folder / part / f"{number}-{language}.flac").absolute())
            recordings.append(Recording(voice, row[language], made[-1][column]))
    speak(recordings)
    return made


def read(matcher: Matcher, rows: list[Row], column: str) -> Features:
    """The features of a column of pictures or recordings."""
    modalities = query_modalities(matcher)
    kind = "image" if column == "drawing" else "audio"
    modality = modalities[kind]
    assert isinstance(modality, MediaModality)
    return matcher.reader(modalities).read(kind, [modality.decode(Path(row[column]).read_bytes()) for row in rows])


def texts(matcher: Matcher, written: list[str]) -> np.ndarray:
    """The vectors of texts that are asked for."""
    modalities = query_modalities(matcher)
    return matcher.embed("text", matcher.reader(modalities).read("text", written), as_query=True)


def told(asked: np.ndarray, found: np.ndarray) -> str:
    """Recall at 1, 5 and 10 of questions ``[N, D]`` among ``found``, of which those in the same place are right."""
    scores = asked @ found.T
    own = scores[np.arange(len(scores)), np.arange(len(scores)) % len(found)]
    ranks = 1 + (scores > own[:, None]).sum(axis=1)
    return " / ".join(f"{(ranks <= k).mean():.3f}" for k in (1, 5, 10))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--spoken", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    fitted, asked = rows_of(given.drawings)
    columns: tuple[str, ...] = COLUMNS
    if given.spoken:
        fitted, asked = (spoken(rows, part, given.out) for rows, part in ((fitted, "fitted"), (asked, "asked")))
        columns = (*COLUMNS, *SPOKEN.values())
    heads = [f"{language}, {kind}" for kind in QUESTIONS for language in COLUMNS[1:]]
    heads += [f"{first} → {then}" for first, then in HEARD] if given.spoken else []
    print("recall@1 / @5 / @10\n\n| | " + " | ".join(heads))
    spaces: dict[str, str] = {"starter": "starter"}
    for count in COUNTS:
        table = given.out / f"{count}.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(fitted[:count])
        for name, start in (("alone", None), ("on from starter", "starter")):
            out = given.out / f"{count} {name}"
            tonggan.fit_space(table, out=out, settings={"space.start": start}, overwrite=True)
            spaces[f"{count} pairs {name}"] = str(out)
    for title, source in spaces.items():
        matcher = open_matcher(source)
        media = {column: read(matcher, asked, column) for column in columns if column not in COLUMNS[1:]}
        drawings = media.pop("drawing")
        matcher.space.adapt("image", drawings)
        known = {"drawing": matcher.embed("image", drawings)}
        if media:
            matcher.space.adapt("audio", Features.cat(list(media.values())))
            known |= {column: matcher.embed("audio", each) for column, each in media.items()}
        cells = []
        for phrases in QUESTIONS.values():
            for language in COLUMNS[1:]:
                said = [phrase.format(row[language]) for phrase in phrases[language] for row in asked]
                cells.append(told(texts(matcher, said), known["drawing"]))
        known |= {language: texts(matcher, [row[language] for row in asked]) for language in COLUMNS[1:]}
        cells += [told(known[first], known[then]) for first, then in HEARD] if given.spoken else []
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""What a recognizer writes down, searched as a written name: the plain way from speech to drawings and names.

    tonggan run emoji_speech --out runs/emoji_speech
    python benchmarks/spoken_names.py --run runs/emoji_speech --out runs/transcripts.json

Whisper base is told the language and writes down the 400 spoken names of the test part of ``emoji_speech``; drawings
and names are then found by its texts, through the space of the run, whose own answers stand in the run's report.
Transcripts are kept in ``--out``. They take about two seconds of the processor for each emoji.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.files import whole_file
from tonggan.modalities.base import MediaModality
from tonggan.modalities.recordings import Recording
from tonggan.models.transcript import TranscriptionConfig
from tonggan.progress import LineProgress, Progress
from tonggan.runs.transcribing import open_transcriber
from tonggan.space.index_folder import query_modalities
from tonggan.space.matcher import Matcher, open_matcher

LANGUAGES = {"english": "en", "chinese": "zh"}
NOTHING = "?"  # is asked for where nothing was heard
RESAMPLES = 1_000


def transcripts(rows: list[dict[str, str]], folder: Path, out: Path) -> dict[str, str]:
    """What is heard in each recording, by its path."""
    known: dict[str, str] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    transcriber, progress = open_transcriber("whisper-base"), LineProgress()
    for row in progress.track(rows, label="Writing down"):
        for language, code in LANGUAGES.items():
            path = row[f"spoken_{language}"]
            if path not in known:
                recording = Recording(folder / path, sample_rate=transcriber.sample_rate)
                heard = transcriber.transcribe(recording, TranscriptionConfig(language=code), progress=Progress())
                known[path] = " ".join(segment.text for segment in heard.segments).strip()
        with whole_file(out) as partial:
            partial.write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
    return known


def vectors(matcher: Matcher, kind: str, items: list[str], folder: Path) -> np.ndarray:
    """Of texts, or of pictures by their paths."""
    modalities = query_modalities(matcher)
    modality, reader = modalities[kind], matcher.reader(modalities)
    if isinstance(modality, MediaModality):
        return matcher.embed(kind, reader.read(kind, [modality.decode((folder / path).read_bytes()) for path in items]))
    return matcher.embed(kind, reader.read(kind, items), as_query=True)


def told(asked: np.ndarray, found: np.ndarray) -> str:
    """Recall at 1, 5 and 10 of questions among what stands in the same places, and an interval of the last."""
    scores = asked @ found.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    draws = np.random.default_rng(0).choice(ranks <= 10, (RESAMPLES, len(ranks))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return " / ".join(f"{(ranks <= k).mean():.3f}" for k in (1, 5, 10)) + f" ({low:.3f} – {high:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table = find_set("emoji_speech").get(cache=cache_folder(), progress=LineProgress())["test"]
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known, matcher, folder = transcripts(rows, table.parent, given.out), open_matcher(given.run), table.parent
    drawings = vectors(matcher, "image", [row["drawing"] for row in rows], folder)
    print("| recall@1 / @5 / @10 | name → drawing | drawing → name | name → written name | written down as it is |")
    print("| --- | --- | --- | --- | --- |")
    for language in LANGUAGES:
        names, heard = [row[language] for row in rows], [known[row[f"spoken_{language}"]] for row in rows]
        exact = np.mean([a.strip(" .。,!?").casefold() == b.casefold() for a, b in zip(heard, names, strict=True)])
        said, written = (
            vectors(matcher, "text", [each or NOTHING for each in part], folder) for part in (heard, names)
        )
        cells = [told(said, drawings), told(drawings, said), told(said, written), f"{exact:.3f}"]
        print(f"| {language} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

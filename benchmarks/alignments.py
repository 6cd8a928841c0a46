"""All alignments on one recipe of a space, beside plain answers: what is found by what, and in how many seconds.

    python benchmarks/alignments.py --out runs/alignments [--seeds 3]
    python benchmarks/alignments.py --recipe emoji_speech --out runs/alignments_of_speech

Every row of the table has the same features, split, towers and epochs; nothing is chosen on the test part. 'Pixels'
finds the drawing of the training part that looks most alike and answers with its name. Under the table stand 95 %
intervals over the emojis, of pixels and of what a fit makes by default. ``--only pixels,chosen`` measures these alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tonggan import api
from tonggan.alignment import AlignmentConfig
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.evaluation.bootstrap import intervals
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import LineProgress, Progress
from tonggan.space.matches import MatchMeasure

NAMES = {"emoji_space": ("english", "chinese"), "emoji_speech": ("spoken_english", "spoken_chinese")}
METRICS = ("recall@1", "recall@5", "recall@10")


def measured(recipe: str, name: str, seed: int, out: Path) -> dict[str, Any]:
    """The metrics on the test part with their intervals, and the seconds that the run took."""
    settings = {"seed": seed}
    if name == "linear":
        settings["space.parts"] = "linear"
    elif name != "chosen":
        settings |= {"space.parts": "towers", "space.alignment.kind": name, "labels": "group"}
    started = time.monotonic()
    matcher = api.run(recipe, out=out / f"{name}-{seed}", settings=settings, overwrite=True, progress=False)
    bounds = {f"{key} interval": pair for key, pair in matcher.results["intervals"]["test"].items()}
    return {**matcher.results["metrics"]["test"], **bounds, "seconds": time.monotonic() - started}


def pixels() -> dict[str, Any]:
    """The name of the training drawing that is most like a drawing, pixel by pixel, compared with the names."""
    tables = find_set("emoji_space").get(cache=cache_folder(), progress=Progress())
    rows = {split: open_table(path, cache=cache_folder()) for split, path in tables.items()}

    def pictures(split: str) -> np.ndarray:
        folder = tables[split].parent
        return np.stack(
            [
                cv2.resize(cv2.imread(str(folder / path)), (24, 24), interpolation=cv2.INTER_AREA).ravel() / 255.0
                for path in rows[split].values("drawing")
            ]
        )

    learned, asked = pictures("train"), pictures("test")
    distances = (asked**2).sum(1)[:, None] - 2 * asked @ learned.T + (learned**2).sum(1)
    nearest = distances.argmin(axis=1)
    embedder = TextEmbedder.load("e5", precision="fp32")
    found: dict[str, Any] = {}
    for language in ("english", "chinese"):
        names = {split: rows[split].values(language) for split in ("train", "test")}
        texts = embedder.embed([str(name) for name in names["test"]])
        guesses = embedder.embed([str(names["train"][place]) for place in nearest])
        count = len(texts)
        part = {
            f"{side}/{field}": value
            for side, vectors in (("drawing", guesses), (language, texts))
            for field, value in (
                ("vector", vectors),
                ("present", np.ones(count, bool)),
                ("content", np.arange(count)),
            )
        }
        measure = MatchMeasure.of_rows(part, kinds={"drawing": "image", language: "text"}, distance="cosine")
        found |= measure.metrics() | {f"{key} interval": pair for key, pair in intervals(measure, seed=0).items()}
    return found


def main() -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", choices=sorted(NAMES), default="emoji_space")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="some of pixels, of linear, of the alignments and of chosen")
    arguments = parser.parse_args()
    recipe = arguments.recipe
    own = ("pixels", "chosen") if recipe == "emoji_space" else ()  # a recording looks like no other
    names = (
        arguments.only.split(",")
        if arguments.only
        else [*own[:1], "linear", *sorted(AlignmentConfig.family()), *own[1:]]
    )
    asked = NAMES[recipe]
    directions = (*(f"{name}→drawing" for name in asked), *(f"drawing→{name}" for name in asked))
    progress = LineProgress()
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        seeds = range(arguments.seeds)
        rows[name] = [pixels()] if name == "pixels" else [measured(recipe, name, seed, arguments.out) for seed in seeds]
        progress.say(f"{name} is measured")
    print("| | " + " | ".join(f"{direction} {', '.join(METRICS)}" for direction in directions) + " | seconds |")
    print("| --- " * (len(directions) + 2) + "|")
    for name, runs in rows.items():
        cells = [
            " / ".join(f"{np.mean([run[f'{direction} {metric}'] for run in runs]):.3f}" for metric in METRICS)
            for direction in directions
        ]
        seconds = np.mean([run.get("seconds", np.nan) for run in runs])
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")
    for name in ("pixels", "chosen"):
        for direction in directions if name in rows else ():
            low, high = rows[name][0][f"{direction} recall@10 interval"]
            print(f"{name}, {direction}, recall@10: {low:.3f} – {high:.3f}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "alignments.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

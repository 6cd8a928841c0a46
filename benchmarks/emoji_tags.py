"""The tags of drawings never seen: the recipe, a network from random weights, and a plain alternative.

    python benchmarks/emoji_tags.py                     # all three
    python benchmarks/emoji_tags.py recipe plain --json # these, as one JSON object

The plain alternative is one logistic regression of scikit-learn for each tag, on what the frozen network says of a
drawing; its penalty is the one of the best average precision on the validation part. ``frequent`` always says how often
each tag is. The test part is measured once.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from tonggan import api
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.models.image_embedder import ImageEmbedder
from tonggan.progress import Progress

RECIPE = "emoji_tags"
METRICS = ("average_precision_micro", "f1_micro")
SCRATCH = {
    "floor": None,
    "columns.drawing.size": 64,
    "model.encoders.drawing": {"kind": "image_resnet", "channels": [32, 64, 128], "stem_channels": 16, "pool": "max"},
    "training.epochs": 30,
}


def trained(settings: dict[str, Any]) -> dict[str, float]:
    """The metrics of a run of the recipe."""
    with tempfile.TemporaryDirectory() as folder:
        run = api.run(RECIPE, out=Path(folder) / "run", settings=settings, progress=False)
        found: dict[str, float] = run.results["metrics"]["test"]
        return found


def plain() -> dict[str, float]:
    """Frozen features and linear models of scikit-learn."""
    tables = find_set(RECIPE).get(cache=cache_folder(), progress=Progress())
    embedder = ImageEmbedder.load("efficientnet_lite0")
    seen, tags = {}, {}
    for split, path in tables.items():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        drawings = [cv2.imread(str(path.parent / row["drawing"]))[:, :, ::-1].transpose(2, 0, 1) for row in rows]
        seen[split] = embedder.embed([np.ascontiguousarray(drawing) for drawing in drawings])
        tags[split] = [[tag for tag in row["tags"].split("|") if tag] for row in rows]
    binary = MultiLabelBinarizer().fit(tags["train"])
    truth = {split: binary.transform(each) for split, each in tags.items()}
    best: tuple[float, Any] = (-1.0, None)
    for penalty in (1e-4, 1e-3, 1e-2, 1e-1):
        one = LogisticRegression(C=penalty, max_iter=300)
        model = make_pipeline(StandardScaler(), OneVsRestClassifier(one)).fit(seen["train"], truth["train"])
        precision = average_precision_score(truth["valid"], model.predict_proba(seen["valid"]), average="micro")
        best = max(best, (precision, model), key=lambda each: each[0])
    return scores(truth["test"], best[1].predict_proba(seen["test"]))


def frequent() -> dict[str, float]:
    """Every tag with its share of the training part."""
    tables = find_set(RECIPE).get(cache=cache_folder(), progress=Progress())
    tags = {}
    for split in ("train", "test"):
        with tables[split].open(encoding="utf-8", newline="") as file:
            tags[split] = [[tag for tag in row["tags"].split("|") if tag] for row in csv.DictReader(file)]
    binary = MultiLabelBinarizer().fit(tags["train"])
    truth = binary.transform(tags["test"])
    return scores(truth, np.tile(binary.transform(tags["train"]).mean(axis=0), (len(truth), 1)))


def scores(truth: NDArray[np.int64], said: NDArray[np.float64]) -> dict[str, float]:
    """Both metrics; a tag is said from a probability of one half on."""
    values = (average_precision_score(truth, said, average="micro"), f1_score(truth, said > 0.5, average="micro"))
    return dict(zip(METRICS, map(float, values), strict=True))


WAYS = {
    "recipe": lambda: trained({"audit_alone": False}),
    "scratch": lambda: trained({"audit_alone": False, **SCRATCH}),
    "plain": plain,
    "frequent": frequent,
}


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"some of {', '.join(WAYS)}; all by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(given)
    unknown = set(options.ways) - set(WAYS)
    if unknown:
        parser.error(f"unknown way {', '.join(sorted(unknown))}; expected some of {', '.join(WAYS)}")
    found = {}
    if not options.json:
        print(f"| way | {' | '.join(METRICS)} | seconds of the processor |")
        print("| --- " * (len(METRICS) + 2) + "|")
    for way in options.ways or WAYS:
        started = time.process_time()
        metrics = WAYS[way]()
        found[way] = {name: metrics[name] for name in METRICS} | {"seconds": time.process_time() - started}
        if not options.json:
            row = " | ".join(f"{value:.3f}" for name, value in found[way].items() if name in METRICS)
            print(f"| {way} | {row} | {found[way]['seconds']:.0f} |", flush=True)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

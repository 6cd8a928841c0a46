"""What pretraining is worth where labels are few: one set of pictures, one of Chinese headlines.

An encoder is pretrained once on rows of the training part without their labels. Then, for each seed, 5 % of these rows
are drawn with their labels (as many of each class), and the same network is fitted to them twice, from the pretrained
weights and from random ones, with all else alike and the floor off, so that the network alone counts. Both choose their
weights on a tenth of the labeled rows. What is told is the accuracy on the set's test part, which nothing is chosen
on, and the difference of each pair; beside it stands what a user would take who has frozen weights at hand: the floor
(--preset fast) on the same labeled rows.

With --choose the test part is not opened: rows of the training part that nothing else uses take its place.

Needs the sets (TONGGAN_MIRROR, or a network). Run: python benchmarks/pretraining_pays.py [cifar10] [thucnews]
[--minutes 15] [--seeds 3] [--share 0.05] [--rows N] [--test N] [--choose] [--no-floor] [--work FOLDER] [--json]
A --work folder keeps what was pretrained, and an interrupted pretraining goes on in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.progress import Progress


@dataclass(frozen=True)
class Case:
    """A set: its columns, how many rows are learned from, and all settings."""

    column: str
    target: str
    rows: int
    objective: str
    pretraining: dict[str, Any]
    fit: dict[str, Any]
    floor: dict[str, Any] = field(default_factory=dict)


CASES = {
    "cifar10": Case(
        column="img",
        target="label",
        rows=10_000,
        objective="contrastive",
        pretraining={
            "columns.img": {"kind": "image", "size": 32, "augment": {"flip": True}},
            "encoder": {
                "kind": "image_resnet",
                "stem_channels": 16,
                "stem_stride": 2,
                "channels": [32, 64, 128],
                "blocks": [0, 1, 1],
                "pool": "mean",
            },
            "training": {
                "optimizer": "muon",
                "epochs": 40,
                "batch_size": 256,
                "learning_rate": 0.01,
                "hidden_cells": 0,
                "warmup": 0.1,
            },
        },
        fit={
            "columns.img": {"kind": "image", "size": 32, "augment": {"flip": True, "shift": 0.125}},
            "columns.label.kind": "category",
            "training": {"epochs": 30, "batch_size": 64, "learning_rate": 0.001, "patience": 12},
        },
        floor={"columns.img": {"kind": "image", "size": 32}, "columns.label.kind": "category"},
    ),
    "thucnews": Case(
        column="headline",
        target="class",
        rows=8_000,
        objective="contrastive",
        pretraining={
            "columns.headline": {"kind": "text", "vocab_size": 4_000, "max_tokens": 48},
            "encoder": {"kind": "text_transformer", "num_layers": 2},
            "objective.left_out": 0.4,
            "objective.temperature": 0.1,
            "training": {"epochs": 40, "batch_size": 256, "learning_rate": 0.002, "hidden_cells": 0},
        },
        fit={
            "columns.headline": {"kind": "text", "vocab_size": 4_000, "max_tokens": 48},
            "training": {"epochs": 30, "batch_size": 32, "learning_rate": 0.001, "patience": 10},
        },
    ),
}


def read(path: Path) -> pa.Table:
    """A CSV or Parquet file."""
    return pyarrow.parquet.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)


def balanced(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Places of ``count`` rows, as many of each label as can be."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        rank[own] = np.arange(len(own))
    return np.sort(order[np.argsort(rank[order], kind="stable")][:count])


def parts(name: str, case: Case, *, rows: int, test: int | None, choose: bool) -> tuple[pa.Table, pa.Table]:
    """The rows to learn from, and those to measure on."""
    paths = find_set(name).get(cache=cache_folder(), progress=Progress())
    whole = read(paths["train"])
    order = np.random.default_rng(0).permutation(len(whole))
    learned = whole.take(order[: rows or case.rows])
    if choose:
        left = whole.take(order[len(learned) :]) if len(whole) > len(learned) else read(paths["valid"])
        return learned, left.slice(0, test or 2_000)
    return learned, read(paths["test"]).slice(0, test)


def accuracy(fitted: Any) -> float:
    """On the test part."""
    return float(fitted.results["metrics"]["test"]["accuracy"])


def measure(name: str, case: Case, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All numbers of one set."""
    learned, test = parts(name, case, rows=arguments.rows, test=arguments.test, choose=arguments.choose)
    labels = np.array(learned[case.target].to_pylist()).astype(str)
    started = time.perf_counter()
    made = folder / f"{name}-pretrained"
    if not (made / "encoder.json").is_file():
        tonggan.pretrain(
            learned.select([case.column]),
            objective=case.objective,
            out=made,
            time_limit=60 * arguments.minutes,
            settings=case.pretraining,
            progress=arguments.verbose,
        )
    manifest = json.loads((made / "encoder.json").read_text(encoding="utf-8"))
    seconds = time.perf_counter() - started
    fixed = {"floor": None, "audit_alone": False, "model.encoders": {case.column: case.pretraining["encoder"]}}
    found: dict[str, list[float]] = {"none": [], "pretrained": [], "floor": []}
    times: dict[str, list[float]] = {key: [] for key in found}
    for seed in range(arguments.seeds):
        few = learned.take(balanced(labels, round(arguments.share * len(learned)), seed=seed))
        ways: dict[str, dict[str, Any]] = {
            "none": {**fixed, **case.fit},
            "pretrained": {**fixed, **case.fit, f"start.{case.column}": str(made)},
        }
        if arguments.floor:
            ways["floor"] = case.floor
        for way, settings in ways.items():
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as out:
                fitted = tonggan.fit(
                    few,
                    target=case.target,
                    test=test,
                    out=Path(out) / "run",
                    preset="fast" if way == "floor" else None,
                    settings=settings,
                    seed=seed,
                    progress=arguments.verbose,
                )
                found[way].append(accuracy(fitted))
            times[way].append(time.perf_counter() - started)
            print(f"{name}  seed {seed}  {way:10} {found[way][-1]:.4f}  {times[way][-1]:5.0f} s", file=sys.stderr)
    gains = [100 * (with_ - none) for with_, none in zip(found["pretrained"], found["none"], strict=True)]
    return {
        "set": name,
        "rows": len(learned),
        "labeled": round(arguments.share * len(learned)),
        "test": len(test),
        "objective": case.objective,
        "accuracy": found,
        "gains": gains,
        "seconds": times,
        "pretraining": {key: manifest["results"][key] for key in ("before", "after", "steps", "training_seconds")},
        "waited": seconds,
    }


def show(found: dict[str, Any]) -> None:
    """One set as lines of a table."""
    before, after = (found["pretraining"][key]["loss"] for key in ("before", "after"))
    print(
        f"{found['set']}: {found['rows']:,} rows, {found['labeled']:,} of them labeled, n={found['test']:,}; "
        f"{found['objective']} for {found['pretraining']['training_seconds']:.0f} s, "
        f"held-out loss {before:.3f} to {after:.3f}"
    )
    for way, values in found["accuracy"].items():
        if values:
            each = "  ".join(f"{value:.4f}" for value in values)
            print(f"  {way:10}  {np.mean(values):.4f}  ({each})  {np.mean(found['seconds'][way]):5.0f} s")
    each = "  ".join(f"{gain:+.1f}" for gain in found["gains"])
    print(f"  gain        {np.mean(found['gains']):+.1f} points  ({each})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=[], help="cifar10, thucnews; both by default")
    parser.add_argument("--minutes", type=float, default=15, help="of each pretraining, at most")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.05, help="of the rows that have labels")
    parser.add_argument("--rows", type=int, default=0, help="to learn from; 0 takes the set's own number")
    parser.add_argument("--test", type=int, default=None, help="rows to measure on, all by default")
    parser.add_argument("--choose", action="store_true", help="measure on rows of the training part")
    parser.add_argument("--no-floor", dest="floor", action="store_false")
    parser.add_argument("--work", type=Path, help="folder that keeps what was pretrained")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = arguments.work or Path(own)
        found = [measure(name, CASES[name], arguments, folder) for name in arguments.sets or CASES]
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for each in found:
            show(each)


if __name__ == "__main__":
    main()

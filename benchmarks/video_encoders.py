"""Both encoders of clips beside one frame alone and frozen features, on the recipe ``moving_shapes``.

    python benchmarks/video_encoders.py --out runs/clips                              # motion and object; a table
    python benchmarks/video_encoders.py --out runs/clips tubelets --targets motion    # the others keep their result
    python benchmarks/video_encoders.py --out runs/clips --rows 64 --epochs 1         # a try
    python benchmarks/video_encoders.py --out runs/clips --table [--json]             # what is there

All learn from the same rows, are chosen on the same validation rows, and are measured once on the test part, whose
photographs are of CIFAR-10's official test part. ``one_frame`` is ``cnn_rnn`` given the middle frame alone, which looks
the same whichever way things move: 1 of 8 is what it can know of the motion. ``frozen`` is logistic regression on
EfficientNet-Lite0's features over time. Minutes are of the processor, on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from tonggan import api
from tonggan.progress import LineProgress

RECIPE = "moving_shapes"
TARGETS = ("motion", "object")
WAYS: dict[str, dict[str, Any]] = {
    "one_frame": {"columns.clip.frames": 1, "columns.clip.draws": 1},
    "cnn_rnn": {},
    "tubelets": {"model.encoders.clip": {"kind": "video_tubelets", "num_layers": 3}},
    "frozen": {
        "floor": {
            "network": False,
            "folds": 0,
            "weights": {"clip": "efficientnet_lite0"},
            "members": {"linear": {"kind": "linear"}},
        }
    },
}


def measured(way: str, target: str, out: Path, *, rows: int | None, epochs: int | None) -> dict[str, Any]:
    """Accuracy on validation and test, parameters and minutes of one way of seeing."""
    other = next(each for each in TARGETS if each != target)
    settings: dict[str, Any] = {
        "target": target,
        f"columns.{target}.kind": "category",
        f"columns.{other}.kind": "ignore",
        "training.precision": "fp32",
        **WAYS[way],
    }
    if rows is not None:
        settings["data.max_rows"] = rows
    if epochs is not None:
        settings["training.epochs"] = epochs
    started = time.process_time()
    run = api.run(RECIPE, out=out / f"{way}_{target}", settings=settings, overwrite=True, progress=False)
    results = run.results
    return {
        "valid": results["metrics"]["valid"]["accuracy"],
        "test": results["metrics"]["test"]["accuracy"],
        "interval": results["intervals"]["test"]["accuracy"],
        "parameters": run.bundle.info["parameters"],
        "minutes": (time.process_time() - started) / 60,
        "rows": results["rows"],
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    lines = ["| clips seen by | motion | object | parameters | minutes |", "| --- | --- | --- | --- | --- |"]
    for way in WAYS:
        own = [found.get(f"{way}_{target}") for target in TARGETS]
        there = [each for each in own if each is not None]
        if there:
            cells = ["" if each is None else f"{each['test']:.3f} ({_span(each['interval'])})" for each in own]
            minutes = " + ".join(f"{each['minutes']:.1f}" for each in there)
            lines.append(f"| `{way}` | {' | '.join(cells)} | {there[0]['parameters']:,} | {minutes} |")
    return "\n".join(lines)


def _span(interval: list[float]) -> str:
    return "–".join(f"{end:.3f}" for end in interval)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--targets", nargs="*", choices=TARGETS, default=TARGETS)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of results.json")
    parser.add_argument("--rows", type=int, help="rows of each part, for a try")
    parser.add_argument("--epochs", type=int, help="of training, for a try")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    unknown = set(asked.ways) - WAYS.keys()
    if unknown:
        parser.error(f"no way is called {', '.join(sorted(unknown))}; there are {', '.join(WAYS)}")
    path = asked.out / "results.json"
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not asked.table:
        torch.set_num_threads(1)
        progress = LineProgress()
        for way in asked.ways or WAYS:
            for target in asked.targets:
                name = f"{way}_{target}"
                found[name] = measured(way, target, asked.out, rows=asked.rows, epochs=asked.epochs)
                path.write_text(json.dumps(found, indent=1), encoding="utf-8")
                progress.say(f"{name}: {found[name]['test']:.3f} in {found[name]['minutes']:.1f} minutes")
    print(json.dumps(found, indent=1) if asked.json else table(found))


if __name__ == "__main__":
    main()

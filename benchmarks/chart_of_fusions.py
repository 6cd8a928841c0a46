"""All ways of fusing beside each other, the perceiver among them, on two sets that no single input can answer.

Each fusion is trained for the same minutes, or with --epochs as often, on the same rows of the recipe's set, with the
recipe's encoders, settings and seed; nothing is chosen by the part that is measured. Where other programs share the
machine, --epochs compares like with like. ``perceiver`` stands there twice: over the recipe's encoders, and
by itself, where its latents read patches, tokens and frames that no network has looked at. Told are the accuracy on the
test part, that of the same network where it is given one input alone, parameters, steps, and minutes of the processor
for the whole run. An answer that is always the most frequent one stands below.

Needs the sets (TONGGAN_MIRROR, or a network; easy-vqa). Run: python benchmarks/chart_of_fusions.py
[easy_vqa] [cifar10_spoken_digits] [--fusions film perceiver …] [--minutes 1 | --epochs 8] [--rows 8000]
[--work FOLDER] [--json]
A --work folder keeps what is finished, so that an interrupted chart goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tonggan
from tonggan.fusion import FusionConfig
from tonggan.runs.recipe import load_recipe

SETS = ("easy_vqa", "cifar10_spoken_digits")
ALONE = "perceiver_alone"


def fusions() -> list[str]:
    """What stands in the chart; a prefix is no fusion of its own, but what a decoder reads."""
    return [*(kind for kind in FusionConfig.family() if kind != "prefix"), ALONE]


def settings_of(fusion: str, recipe: str) -> dict[str, Any]:
    """The settings of the recipe's model with another fusion; what a recipe says of its own one is kept for that."""
    if fusion == ALONE:
        return {"model.fusion": {"kind": "perceiver"}, "model.encoders": {}}
    own = load_recipe(recipe).model.fusion
    return {} if own.kind == fusion else {"model.fusion": {"kind": fusion}}


def measure(recipe: str, fusion: str, *, minutes: float, epochs: int | None, rows: int) -> dict[str, Any]:
    """One line of the chart."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        done = tonggan.run(
            recipe,
            out=Path(folder) / "run",
            time_limit=60 * minutes if epochs is None else None,
            settings={
                **settings_of(fusion, recipe),
                "data.max_rows": rows,
                "training.epochs": epochs or 200,
                "audit_alone": False,
            },
            progress=False,
        )
        results, parameters = done.results, done.bundle.info["parameters"]
    return {
        "set": recipe,
        "fusion": fusion,
        "accuracy": results["metrics"]["test"]["accuracy"],
        "interval": results["intervals"]["test"]["accuracy"],
        "alone": results["audit"]["alone"],
        "majority": results["audit"]["majority"],
        "parameters": parameters,
        "steps": results["training"]["steps"],
        "minutes": (time.process_time() - started) / 60,
        "rows": results["rows"],
    }


def show(found: list[dict[str, Any]]) -> None:
    """The chart as a Markdown table for each set."""
    for name in dict.fromkeys(each["set"] for each in found):
        lines = sorted((each for each in found if each["set"] == name), key=lambda each: -each["accuracy"])
        inputs = list(lines[0]["alone"])
        rows = lines[0]["rows"]
        print(f"\n{name}: {rows['train']:,} rows to learn from, n={rows['test']:,}")
        print(f"| fusion | accuracy | 95 % interval | {' | '.join(f'{each} alone' for each in inputs)} |", end="")
        print(" parameters | steps | minutes |\n|" + " --- |" * (6 + len(inputs)))
        for each in lines:
            low, high = each["interval"]
            alone = " | ".join(f"{each['alone'][key]:.3f}" for key in inputs)
            print(
                f"| `{each['fusion']}` | {each['accuracy']:.4f} | {low:.3f} – {high:.3f} | {alone} | "
                f"{each['parameters']:,} | {each['steps']:,} | {each['minutes']:.1f} |"
            )
        print(f"Always the most frequent answer: {lines[0]['majority']:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=[], help=f"{', '.join(SETS)}; both by default")
    parser.add_argument("--fusions", nargs="+", default=fusions(), choices=fusions())
    parser.add_argument("--minutes", type=float, default=1, help="of each training, measuring included")
    parser.add_argument("--epochs", type=int, help="as often for each, instead of as long")
    parser.add_argument("--rows", type=int, default=8_000, help="of each table, at most")
    parser.add_argument("--work", type=Path, help="folder that keeps what is finished")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = []
    for name in arguments.sets or SETS:
        for fusion in arguments.fusions:
            kept = arguments.work / f"{name}-{fusion}.json" if arguments.work else None
            if kept is not None and kept.is_file():
                found.append(json.loads(kept.read_text(encoding="utf-8")))
                continue
            options = {"minutes": arguments.minutes, "epochs": arguments.epochs, "rows": arguments.rows}
            found.append(measure(name, fusion, **options))
            print(f"{name}  {fusion:16} {found[-1]['accuracy']:.4f}  {found[-1]['steps']:,} steps", file=sys.stderr)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found[-1]), encoding="utf-8")
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)


if __name__ == "__main__":
    main()

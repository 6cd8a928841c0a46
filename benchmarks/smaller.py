"""A run beside what is made of it: a student, the same student alone, half of the channels, 8-bit integers.

    python benchmarks/smaller.py [--recipe smaller] [--student tiny] [--seeds 3] [--out runs/smaller] [--json FILE]
    python benchmarks/smaller.py --recipe thucnews --set data.max_rows=2000 --student text_transformer \\
        --student-epochs 20 --ways distill --out runs/smaller-news

It is fitted by the recipe and compressed in each way; times are of the CPU, on as many threads as OMP_NUM_THREADS says.
Stopped anywhere, the same command goes on. Accuracies are those of the test part, of students the mean of the seeds;
the gain of a student over the same one alone is that of each seed, which has the same first weights and order of rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import tonggan
from tonggan.evaluation.predict import measure_rows
from tonggan.files import whole_file
from tonggan.progress import Progress, chosen_progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import INDEX
from tonggan.runs.plan import resolve
from tonggan.runs.recipe import student_recipe
from tonggan.runs.reopening import with_data
from tonggan.runs.start import Start
from tonggan.runs.trainings import new_model, train_one
from tonggan.training import Budget

COLUMNS = ("model", "score", "gain", "parameters", "MB", "ms, 1 row", "ms, 32 rows", "memory, MB", "times as fast")


def compressed(original: Path, out: Path, **options: Any) -> dict[str, Any]:
    """What a compressed run is beside the original; the run that is there, if it is."""
    made = (
        tonggan.load(out) if (out / INDEX).exists() else tonggan.compress(original, out=out, progress=True, **options)
    )
    found: dict[str, Any] = made.results["compression"]
    return found


def alone(original: Path, out: Path, student: str, settings: list[str], progress: Progress) -> float:
    """The test score of a student that learns the task as any network does, from the original's training rows."""
    told = out / "score.json"
    if not told.exists():
        bundle = Bundle.load(original)
        _, data = with_data(bundle, original, None, progress=progress)
        plan = resolve(student_recipe(bundle.recipe, student, settings), data.tables)
        model = new_model(plan, data, Start({}, {}))
        train_one(model, plan, data, folder=out, budget=Budget(), progress=progress)
        split = list(data.datasets)[-1]
        score = measure_rows(model, data.task, data.datasets[split], progress=progress).measure.score()
        with whole_file(told) as partial:
            partial.write_text(json.dumps({"score": score}), encoding="utf-8")
    return float(json.loads(told.read_text(encoding="utf-8"))["score"])


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """All that the table shows."""
    out, progress, original = options.out, chosen_progress(True), options.out / "original"
    if not (original / INDEX).exists():
        tonggan.run(options.recipe, out=original, settings=options.set, progress=True)
    shorter = [] if options.student_epochs is None else [f"training.epochs={options.student_epochs}"]
    found = {}
    if "quantize" in options.ways:
        found["int8"] = compressed(original, out / "int8", quantize="int8")
    seeds: list[dict[str, float]] = []
    for seed in range(options.seeds if "distill" in options.ways else 0):
        taught = compressed(
            original, out / f"student-{seed}", distill=options.student, settings=[f"seed={seed}", *shorter]
        )
        found.setdefault("student", taught)
        by_itself = alone(original, out / f"alone-{seed}", options.student, [f"seed={seed}", *shorter], progress)
        seeds.append({"student": taught["rows"][1]["score"], "alone": by_itself})
    if "prune" in options.ways:
        found["pruned"] = compressed(original, out / "pruned", prune=options.prune, settings=options.prune_set)
    told = next(iter(found.values()))
    first = told["rows"][0]
    rows = [{**first, "model": "original", "gain": 0.0, "faster": [1.0, 1.0]}]
    means = {name: statistics.mean(each[name] for each in seeds) for name in ("student", "alone") if seeds}
    for name, each in found.items():
        before, after = each["rows"]
        faster = [before["milliseconds"][key] / after["milliseconds"][key] for key in ("1", "32")]
        for model in ("student", "alone") if name == "student" else (name,):
            score = means.get(model, after["score"])
            rows.append({**after, "model": model, "score": score, "gain": score - before["score"], "faster": faster})
    gains = [each["student"] - each["alone"] for each in seeds]
    return {"score_name": told["score_name"], "rows": rows, "seeds": seeds, "student_over_alone": gains}


def shown(found: dict[str, Any]) -> str:
    """The table, as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for row in found["rows"]:
        memory = "" if row["memory"] is None else f"{row['memory'] / 1e6:.0f}"
        cells = [
            row["model"],
            f"{row['score']:.4f}",
            f"{row['gain']:+.4f}",
            f"{row['parameters']:,}",
            f"{row['size'] / 1e6:.2f}",
            *(f"{row['milliseconds'][key]:.2f}" for key in ("1", "32")),
            memory,
            " and ".join(f"{each:.1f}" for each in row["faster"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    gains = ", ".join(f"{100 * each:+.1f}" for each in found["student_over_alone"])
    return "\n".join([*lines, "", *([f"student over the same alone, by seed: {gains} points"] if gains else [])])


def main() -> None:
    """Fit, compress, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="smaller")
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--student-epochs", type=int, help="of students, taught or not; the recipe's by default")
    parser.add_argument("--prune", type=float, default=0.5)
    parser.add_argument("--prune-set", action="append", default=[], metavar="KEY=VALUE", help="field for --prune")
    parser.add_argument("--seeds", type=int, default=3)
    ways = ["quantize", "distill", "prune"]
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways, help="what is made of the run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="field of the recipe")
    parser.add_argument("--out", type=Path, default=Path("runs/smaller"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = compare(options)
    print(shown(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

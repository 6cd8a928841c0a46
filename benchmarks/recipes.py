"""Run every shipped recipe in full, and write what each reached where the pages and ``tonggan recipes`` read it.

    python benchmarks/recipes.py --out runs/recipes            # all
    python benchmarks/recipes.py --out runs/recipes fsdd       # one; the others keep their stored result
    python benchmarks/recipes.py --finished                    # take runs in that folder that are finished as they are
    python benchmarks/recipes.py --table                       # rewrite the tables from the stored results alone

The test part of each recipe is measured once, at the end of its run.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tonggan
from tonggan.cli.console import console_progress
from tonggan.runs.bundle_folder import INDEX, SPACE
from tonggan.runs.recipe import load_recipe, measured_results, recipe_names
from tonggan.space.config import load_match_recipe, match_recipe_names
from tonggan.wording import catalog

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "src" / "tonggan" / "recipes" / "results.json"
MARKS = ("<!-- results:begin -->", "<!-- results:end -->")
# Encoders that begin with those of another recipe's run in the same folder, which is run first.
STARTS = {
    "assistant": {"picture": "easy_vqa_free_scratch:image", "recording": "connected_digits_ctc:audio"},
    "easy_vqa_free": {"image": "easy_vqa_free_scratch:image"},
}
HEADINGS = {
    "results.md": "| recipe | what it learns | test score | 95 % interval | best single input | training | whole run |",
    "results.zh-CN.md": "| 配方 | 学习什么 | 测试得分 | 95 % 区间 | 最好的单一输入 | 训练用时 | 全程用时 |",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes to run; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="folder of the runs")
    parser.add_argument("--finished", action="store_true", help="run nothing; read the finished runs in the folder")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    results = measured_results()
    names = sorted(arguments.names or every_recipe(), key=lambda name: name in STARTS)
    if arguments.finished:
        names = [name for name in names if any((arguments.out / name / index).exists() for index in (INDEX, SPACE))]
    for name in [] if arguments.table else names:
        folder = arguments.out / name
        if arguments.finished:
            found = tonggan.load(folder).results
        else:
            start = {f"start.{column}": str(arguments.out / run) for column, run in STARTS.get(name, {}).items()}
            with console_progress() as progress:
                found = tonggan.run(name, out=folder, settings=start, overwrite=True, progress=progress).results
        results[name] = summary(found)
        RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, say in (("results.md", str), ("results.zh-CN.md", catalog().translate)):
        write_table(ROOT / "docs" / name, HEADINGS[name], results, say=say)


def every_recipe() -> dict[str, str]:
    """What each shipped recipe learns, by its name."""
    described = {name: load_recipe(name).description for name in recipe_names()}
    return described | {name: load_match_recipe(name).description for name in match_recipe_names()}


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """What the tables show of one run."""
    name = results["score_name"]
    verdict = results.get("audit", {}).get("verdict", {"best_part": None, "best_score": None})
    # A floor without a network trains no model step by step.
    trained = [results[part] for part in ("training", "floor") if results.get(part)] or [results]
    return {
        "score_name": name,
        "score": results["metrics"]["test"][name],
        "interval": results["intervals"]["test"][name],
        "rows": results["rows"],
        "best_part": verdict["best_part"],
        "best_score": verdict["best_score"],
        "training_seconds": round(sum(part["seconds"] for part in trained), 1),
        "seconds": round(results["seconds"], 1),
        "precision": trained[0].get("precision"),
        "metrics": results["metrics"]["test"],
        "parts": results.get("parts", {}),
        "machine": machine(),
    }


def machine() -> str:
    """The processor, and how many cores the run had."""
    import torch

    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    cores = torch.get_num_threads()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return f"{found.group(1) if found else platform.processor()}, {cores} core{'s' * (cores > 1)}"


def write_table(path: Path, heading: str, results: dict[str, Any], *, say: Callable[[str], str]) -> None:
    """Replace what stands between the marks in ``path``; ``say`` puts a description into its language."""
    lines = [heading, "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, description in sorted(every_recipe().items()):
        if name not in results:
            continue
        entry = results[name]
        low, high = entry["interval"]
        part = f"{entry['best_part']} {entry['best_score']:.4f}" if entry["best_part"] else "–"
        lines.append(
            f"| `{name}` | {say(description)} | {entry['score_name']} **{entry['score']:.4f}** "
            f"({entry['rows']['test']:,}) | {low:.4f} – {high:.4f} | {part} "
            f"| {entry['training_seconds']:.0f} s | {entry['seconds']:.0f} s |"
        )
    machines = sorted({entry["machine"] for entry in results.values()})
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    table = "\n".join([MARKS[0], "", *lines, "", f"<sub>{'; '.join(machines)}</sub>", MARKS[1]])
    path.write_text(before + table + after, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Results as tables for a terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from tonggan.data.doctor import Diagnosis

_SEVERITY_STYLE = {"error": "bold red", "warning": "yellow", "note": "dim"}


def show_results(results: Mapping[str, Any], run: Path | None = None) -> None:
    """The metrics, the subsets table, the audit with its verdict, and, for a run, what to type next."""
    console = _console()
    _show_metrics(console, results)
    if results.get("parts"):
        _show_parts(console, results["parts"])
    for part, known in results.get("signatures", {}).items():
        for name, signature in known.items():
            console.print(f"{name} of {part}: {signature}", style="dim", soft_wrap=True)
    if results["subsets"]:
        _show_subsets(console, results)
    if results["audit"]:
        _show_audit(console, results)
    if run is not None:
        console.print(
            f"\nReport: {run / 'report.html'}   (in {results['seconds']:.0f} s)", style="bold", soft_wrap=True
        )
        # Never the training table itself: what a model says of rows it has learned is flattery.
        example = results["data"].get("test", "new.csv")
        console.print("\nNext:")
        program = _program()
        for command in (
            [program, "predict", str(run), example, "--out", "predictions.csv"],
            [program, "evaluate", str(run), example],
            [program, "info", str(run)],
        ):
            console.print(f"  {escape(shlex.join(command))}", style="cyan", soft_wrap=True)


def _program() -> str:
    """What to type for this program here: its name where the shell finds it, else its path."""
    started = Path(sys.argv[0])
    if shutil.which("tonggan") or started.name != "tonggan":
        return "tonggan"
    return os.path.relpath(started)


def show_info(run: Path, index: Mapping[str, Any]) -> None:
    """What a bundle is, and its stored results."""
    console = _console()
    results = index["results"]
    kinds = ", ".join(f"{name} ({kind})" for name, kind in results["inputs"].items())
    facts = {
        "Predicts": f"{', '.join(results['target'])} ({results['task']})",
        "From": kinds,
        "Classes": _shortened(results["labels"]) if results["labels"] else "",
        "Trained on": f"{results['rows']['train']:,} rows of {results['data']['train']}",
        "Data fingerprint": index["fingerprint"],
        "Parameters": f"{index['parameters']:,}",
        "Made": index["created"],
        "Versions": ", ".join(f"{name} {number}" for name, number in index["versions"].items()),
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value:
            table.add_row(name, escape(str(value)))
    console.print(f"[bold]{escape(str(run))}[/]")
    console.print(table)
    console.print()
    show_results(results)


def show_recipes(listed: Mapping[str, Mapping[str, Any]]) -> None:
    """The shipped recipes and what they reached."""
    table = _list("recipe", "measured", "what it is")
    for name, entry in listed.items():
        measured = entry["measured"]
        text = f"{measured['score_name']} {measured['score']:.4f} in {measured['seconds']:.0f} s" if measured else ""
        table.add_row(name, text, escape(entry["description"]))
    _console().print(table)


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """The doctor's findings, worst first."""
    console = _console()
    if diagnosis.columns:
        table = _list("column", "kind", "why")
        for name, kind, reason in diagnosis.columns:
            table.add_row(escape(name), kind, escape(reason))
        console.print(table)
        console.print()
    if not diagnosis.findings:
        console.print("No findings: the doctor sees nothing wrong.", style="green")
        return
    for finding in diagnosis.findings:
        style = _SEVERITY_STYLE[finding.severity]
        console.print(f"[{style}]{finding.severity:8}[/] {escape(finding.message)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"         {escape(finding.remedy)}", style="dim", soft_wrap=True)


def _show_metrics(console: Console, results: Mapping[str, Any]) -> None:
    measured = results.get("measured", results["rows"])
    splits = list(results["metrics"])
    headers = [header for split in splits for header in (f"{split}\nn={measured[split]:,}", "95 % interval")]
    table = _table("metric", *headers)
    for name in dict.fromkeys(name for split in splits for name in results["metrics"][split]):
        cells = []
        for split in splits:
            low_high = results["intervals"][split].get(name)
            shown = "–".join(_number(value, decimals=3) for value in low_high) if low_high else ""
            cells += [_number(results["metrics"][split].get(name)), f"[dim]{shown}[/]"]
        table.add_row(name, *cells)
    console.print(table)


def _show_parts(console: Console, parts: Mapping[str, Mapping[str, float]]) -> None:
    console.print("\nTold apart", style="bold")
    table = _table("metric", *parts)
    for name in dict.fromkeys(name for metrics in parts.values() for name in metrics):
        if name == "rows":
            table.add_row(name, *(f"{metrics[name]:,.0f}" for metrics in parts.values()))
        else:
            table.add_row(name, *(_number(metrics.get(name)) for metrics in parts.values()))
    console.print(table)


def _show_subsets(console: Console, results: Mapping[str, Any]) -> None:
    name = results["score_name"]
    console.print(f"\nWith each subset of the inputs: {name} on {results['audited']:,} rows", style="bold")
    table = _table("present", name)
    for row in results["subsets"]:
        table.add_row(escape(" + ".join(row["present"]) or "(none)"), _number(row["score"]))
    console.print(table)


def _show_audit(console: Console, results: Mapping[str, Any]) -> None:
    audit = results["audit"]
    name = audit["score_name"]
    console.print(f"\nIs it multimodal? {name} on {results['audited']:,} rows", style="bold")
    columns = {"alone": "alone", "alone_trained": "trained alone", "shuffled": "shuffled", "shapley": "Shapley value"}
    shown = {key: header for key, header in columns.items() if audit[key]}
    table = _table("input", *shown.values())
    for each in audit["alone"]:
        table.add_row(escape(each), *(_number(audit[key].get(each)) for key in shown))
    console.print(table)
    baseline = "always the mean" if results.get("task") == "regression" else "always the majority"
    console.print(f"\nFull model {_number(audit['full'])}   {baseline} {_number(audit['majority'])}")
    console.print(escape(audit["verdict"]["sentence"]), style="bold")


def _number(value: float | None, *, decimals: int = 4) -> str:
    """Large numbers need no fractions; what lies between 0 and 1 lives on them."""
    if value is None:
        return ""
    return f"{value:,.{decimals if abs(value) < 10 else 2 if abs(value) < 1000 else 0}f}"


def _shortened(names: Sequence[str], limit: int = 20) -> str:
    return ", ".join(names[:limit]) + (f", … ({len(names)})" if len(names) > limit else "")


def _table(*columns: str) -> Table:
    """Names on the left, numbers on the right; no cell is broken."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=True, justify="left" if index == 0 else "right", vertical="bottom")
    return table


def _list(*columns: str) -> Table:
    """Columns of words, the last of which may take several lines."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    for column in columns[:-1]:
        table.add_column(column, overflow="fold", min_width=min(len(column), 12))
    table.add_column(columns[-1], ratio=1)
    return table


def _console() -> Console:
    return Console(highlight=False)

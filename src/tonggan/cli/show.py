"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    if results["subsets"]:
        _show_subsets(console, results)
    if results["audit"]:
        _show_audit(console, results["audit"])
    if run is not None:
        console.print(
            f"\nReport: {run / 'report.html'}   (in {results['seconds']:.0f} s)", style="bold", soft_wrap=True
        )
        example = results["data"].get("test") or results["data"].get("valid") or results["data"]["train"]
        console.print("\nNext:")
        for command in (
            f"tonggan predict {run} {example} --out predictions.csv",
            f"tonggan evaluate {run} {example}",
            f"tonggan info {run}",
        ):
            console.print(f"  {command}", style="cyan", soft_wrap=True)


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
    show_results(results)


def show_recipes(listed: Mapping[str, Mapping[str, Any]]) -> None:
    """The shipped recipes and what they reached."""
    table = _table("recipe", "what", "measured")
    for name, entry in listed.items():
        measured = entry["measured"]
        text = f"{measured['score_name']} {measured['score']:.4f} in {measured['seconds']:.0f} s" if measured else ""
        table.add_row(name, escape(entry["description"]), text)
    _console().print(table)


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """The doctor's findings, worst first."""
    console = _console()
    if diagnosis.columns:
        table = _table("column", "kind", "why")
        for name, kind, reason in diagnosis.columns:
            table.add_row(escape(name), kind, escape(reason))
        console.print(table)
    if not diagnosis.findings:
        console.print("No findings: the doctor sees nothing wrong.", style="green")
        return
    for finding in diagnosis.findings:
        style = _SEVERITY_STYLE[finding.severity]
        console.print(f"[{style}]{finding.severity:8}[/] {escape(finding.message)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"         {escape(finding.remedy)}", style="dim", soft_wrap=True)


def _show_metrics(console: Console, results: Mapping[str, Any]) -> None:
    splits = list(results["metrics"])
    table = _table("metric", *(f"{split} ({results['rows'][split]:,} rows)" for split in splits))
    names = list(dict.fromkeys(name for split in splits for name in results["metrics"][split]))
    for name in names:
        cells = []
        for split in splits:
            value = results["metrics"][split].get(name)
            low_high = results["intervals"][split].get(name)
            text = "" if value is None else f"{value:.4f}"
            cells.append(text + (f"  [dim]{low_high[0]:.4f} to {low_high[1]:.4f}[/]" if low_high else ""))
        table.add_row(name, *cells)
    console.print(table)


def _show_subsets(console: Console, results: Mapping[str, Any]) -> None:
    name = results["score_name"]
    table = _table("present", name, title=f"Each subset of modalities ({results['audited']} rows)")
    for row in results["subsets"]:
        table.add_row(escape(" + ".join(row["present"]) or "(none)"), f"{row['score']:.4f}")
    console.print(table)


def _show_audit(console: Console, audit: Mapping[str, Any]) -> None:
    inputs = list(audit["alone"])
    table = _table("audit", *(escape(name) for name in inputs), title=f"Is it multimodal? ({audit['score_name']})")
    for label, key in (
        ("alone, others absent", "alone"),
        ("trained alone", "alone_trained"),
        ("shuffled between rows", "shuffled"),
        ("Shapley value", "shapley"),
    ):
        if audit[key]:
            table.add_row(label, *(_number(audit[key].get(name)) for name in inputs))
    console.print(table)
    console.print(f"majority {audit['majority']:.4f}   full model {audit['full']:.4f}")
    console.print(escape(audit["verdict"]["sentence"]), style="bold", soft_wrap=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _shortened(names: Sequence[str], limit: int = 20) -> str:
    return ", ".join(names[:limit]) + (f", … ({len(names)})" if len(names) > limit else "")


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="left" if index == 0 else "right")
    return table


def _console() -> Console:
    return Console(highlight=False)

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

from tonggan.cli.translation import shown
from tonggan.evaluation.wording import constant_answer, metric_words
from tonggan.runs.bundle_folder import OUT_OF_FOLD
from tonggan.wording import Words, language

if TYPE_CHECKING:
    from tonggan.data.doctor import Diagnosis
    from tonggan.space.index import Hit

_AUDITED = {"alone": "alone", "alone_trained": "trained alone", "shuffled": "shuffled", "shapley": "Shapley value"}
_MAX_COLUMNS = 12
_LONGEST_CELL = 80
_COLUMNS = Words("When a column of the table comes from another row", "将表格中的某一列换成其他行的值时")
_SHARED = Words("Columns that say the same share their importance.", "内容相近的列会分摊重要性。")
_SEVERITY_STYLE = {"error": "bold red", "warning": "yellow", "note": "dim"}


def show_results(results: Mapping[str, Any], run: Path | None = None) -> None:
    """What a model is worth: the warning if there is one, the metrics, the audit; for a run, what to type next.

    Of fewer than 30 measured rows nothing is shown but the score: no table of them says more.
    """
    console = _console()
    constant = results.get("constant")
    if constant and constant["headline"]:
        style = "bold yellow" if constant["beaten"] == "too few rows" else "bold red"
        console.print(escape(_own(constant, "headline")), style=style, soft_wrap=_as_is())
        console.print(escape(_own(constant, "sentence")) + "\n", soft_wrap=_as_is())
    if constant and constant["beaten"] == "too few rows":
        _show_few(console, results, constant)
    else:
        _show_metrics(console, results)
        if results.get("study"):
            _show_study(console, results["study"])
        if results.get("parts"):
            _show_parts(console, results["parts"])
        for part, known in results.get("signatures", {}).items():
            for name, signature in known.items():
                console.print(f"{name} of {part}: {signature}", style="dim", soft_wrap=True)
        if results["audit"]:
            if len(results["audit"]["alone"]) > 1:
                _show_subsets(console, results)
            _show_audit(console, results)
    if run is not None:
        _show_next(console, results, run)


def show_tuning(found: Mapping[str, Any]) -> None:
    """The best settings of a study, how its trials ended, and what to type next."""
    console, best = _console(), found["best"]
    score = f"{metric_words(found['score_name']).english} {_number(best['score'])}"
    console.print(shown(f"Best of {len(found['trials'])} trials: trial {best['number']}, {score}"), style="bold")
    table = _list("field", "value", "importance")
    for path, value in best["values"].items():
        importance = found["importance"].get(path)
        table.add_row(escape(path), _number(value) if isinstance(value, float) else str(value), _number(importance))
    console.print(table)
    console.print(shown(f"Report: {found['report']}"), soft_wrap=True)
    if "run" in found:
        command = [_program(), "info", found["run"]]
    else:
        command = [_program(), "run", found["recipe"], "--out", "runs/best"]
    console.print(shown("\nNext:"))
    console.print(f"  {escape(shlex.join(command))}", style="cyan", soft_wrap=True)


def show_compression(found: Mapping[str, Any], run: Path) -> None:
    """The original and the smaller model side by side, and what to type next."""
    from tonggan.runs.footprint import comparison

    console, section = _console(), comparison(found)
    console.print(escape(_said(section.note)) + "\n", soft_wrap=_as_is())
    assert section.table is not None, "the comparison is a table"
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    for place, column in enumerate(section.table.columns):
        table.add_column(_said(column), justify="right" if place else "left", no_wrap=True)
    for row in section.table.rows:
        table.add_row(shown(row[0]), *row[1:])
    console.print(table)
    console.print(shown(f"Report: {run / 'report.html'}"), soft_wrap=True)
    console.print(shown("\nNext:"))
    command = [_program(), "predict", str(run), "new.csv", "--out", "predictions.csv"]
    console.print(f"  {escape(shlex.join(command))}", style="cyan", soft_wrap=True)


def _show_next(console: Console, results: Mapping[str, Any], run: Path) -> None:
    """Where the report is, and what to type next."""
    console.print(
        shown(f"\nReport: {run / 'report.html'}   (in {results['seconds']:.0f} s)"), style="bold", soft_wrap=True
    )
    if (run / OUT_OF_FOLD).exists():
        console.print(shown(f"Predictions out of fold: {run / OUT_OF_FOLD}"), soft_wrap=True)
    # Never the training table itself: what a model says of rows it has learned is flattery.
    example = results["data"].get("test", "new.csv")
    measured = results["data"].get("test", "test.csv")  # which has the target
    program = _program()
    settings = results.get("settings_to_try", [])
    if settings:
        console.print("\n" + escape(_own(results, "settings_reason")), soft_wrap=_as_is())
    for number, setting in enumerate(settings, start=2):
        again = [program, "run", str(run / "recipe.yaml"), "--set", setting, "--out", f"{run}-{number}"]
        console.print(f"  {escape(shlex.join(again))}", style="cyan", soft_wrap=True)
    console.print(shown("\nNext:"))
    for command in (
        [program, "predict", str(run), example, "--out", "predictions.csv"],
        [program, "evaluate", str(run), measured],
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
    cells = (results["audit"] or {}).get("columns", {})  # of an input that is all number and category columns
    inputs = [
        f"{shown(name)} ({_shortened(list(cells[name]))})" if name in cells else f"{name} ({shown(kind)})"
        for name, kind in results["inputs"].items()
    ]
    facts = {
        "Predicts": f"{', '.join(results['target'])} ({shown(results['task'])})",
        "From": ", ".join(inputs),
        "Classes": _shortened(results["labels"]) if results["labels"] else "",
        "Trained on": shown(f"{results['rows']['train']:,} rows of {results['data']['train']}"),
        "Data fingerprint": index["fingerprint"],
        "Parameters": f"{index['parameters']:,}",
        "Made": index["created"],
        "Versions": ", ".join(f"{name} {number}" for name, number in index["versions"].items()),
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value:
            table.add_row(shown(name), escape(str(value)))
    console.print(f"[bold]{escape(str(run))}[/]")
    console.print(table)
    console.print()
    show_results(results)


def show_recipes(listed: Mapping[str, Mapping[str, Any]]) -> None:
    """The shipped recipes and what they reached."""
    table = _list("recipe", "measured", "what it is")
    for name, entry in listed.items():
        measured = entry["measured"]
        said = Words("", "")
        if measured:
            score, seconds = f"{_metric(measured['score_name'])} {measured['score']:.4f}", f"{measured['seconds']:.0f}"
            said = Words(f"{score} in {seconds} s", f"{score}，{seconds} 秒")
        table.add_row(name, shown(said), escape(shown(entry["description"])))
    _console().print(table)


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """The doctor's findings, worst first."""
    console = _console()
    if diagnosis.columns:
        table = _list("column", "kind", "why")
        for name, kind, reason in diagnosis.columns:
            table.add_row(escape(name), shown(kind), escape(shown(reason)))
        console.print(table)
        console.print()
    if not diagnosis.findings:
        console.print(shown("No findings: the doctor sees nothing wrong."), style="green")
        return
    for finding in diagnosis.findings:
        style = _SEVERITY_STYLE[finding.severity]
        console.print(f"[{style}]{shown(finding.severity):8}[/] {escape(shown(finding.said))}", soft_wrap=True)
        if finding.remedy:
            console.print(f"         {escape(shown(finding.said_remedy))}", style="dim", soft_wrap=True)


def _show_metrics(console: Console, results: Mapping[str, Any]) -> None:
    measured = results.get("measured", results["rows"])
    splits = list(results["metrics"])
    headers = [header for split in splits for header in (f"{shown(split)}\nn={measured[split]:,}", "95 % interval")]
    table = _table("metric", *headers)
    for name in dict.fromkeys(name for split in splits for name in results["metrics"][split]):
        cells = []
        for split in splits:
            low_high = results["intervals"][split].get(name)
            interval = "–".join(_number(value, decimals=3) for value in low_high) if low_high else ""
            cells += [_number(results["metrics"][split].get(name)), f"[dim]{interval}[/]"]
        table.add_row(_metric(name), *cells)
    console.print(table)


def _show_study(console: Console, study: Mapping[str, Any]) -> None:
    count = len(study["trials"])
    over = f"\nOver {count} folds" if study["kind"] == "folds" else f"\nOver {count} seeds"
    console.print(shown(over) + shown(": mean ± standard deviation"), style="bold")
    table = _table("metric", *map(shown, study["mean"]))
    for name in dict.fromkeys(name for means in study["mean"].values() for name in means):
        cells = []
        for part, means in study["mean"].items():
            there = name in means
            cells.append(f"{_number(means[name])} ± {_number(study['spread'][part][name])}" if there else "")
        table.add_row(_metric(name), *cells)
    console.print(table)


def _show_parts(console: Console, parts: Mapping[str, Mapping[str, float]]) -> None:
    console.print(shown("\nBy part"), style="bold")
    table = _table("metric", *parts)
    for name in dict.fromkeys(name for metrics in parts.values() for name in metrics):
        if name == "rows":
            table.add_row(shown(name), *(f"{metrics[name]:,.0f}" for metrics in parts.values()))
        else:
            table.add_row(_metric(name), *(_number(metrics.get(name)) for metrics in parts.values()))
    console.print(table)


def _show_few(console: Console, results: Mapping[str, Any], constant: Mapping[str, Any]) -> None:
    """The score beside that of the constant answer, in one line."""
    name = shown(metric_words(constant["score_name"]))
    always = shown(constant_answer(results))
    console.print(
        f"{name} {_number(constant['model'])}   {always} {_number(constant['constant'])}   "
        f"({shown(str(constant['num_rows']) + ' rows')})",
        soft_wrap=True,
    )


def _show_subsets(console: Console, results: Mapping[str, Any]) -> None:
    """Each input alone, all but one, and all; the report has the rest."""
    name = _metric(results["score_name"])
    console.print(shown(f"\nWith some of the inputs: {name} on {results['audited']:,} rows"), style="bold")
    table = _table("present", name)
    most = max(len(row["present"]) for row in results["subsets"])
    for row in results["subsets"]:
        if len(row["present"]) in (1, most - 1, most):
            table.add_row(escape(" + ".join(map(shown, row["present"])) or shown("(none)")), _number(row["score"]))
    console.print(table)


def _show_audit(console: Console, results: Mapping[str, Any]) -> None:
    audit = results["audit"]
    name = _metric(audit["score_name"])
    if len(audit["alone"]) > 1:
        console.print(shown(f"\nIs it multimodal? {name} on {results['audited']:,} rows"), style="bold")
        columns = {key: header for key, header in _AUDITED.items() if audit[key]}
        table = _table("input", *columns.values())
        for each in audit["alone"]:
            table.add_row(escape(shown(each)), *(_number(audit[key].get(each)) for key in columns))
        console.print(table)
    beaten = (results.get("constant") or {}).get("beaten")
    for columns_of in audit.get("columns", {}).values() if beaten != "no" else ():
        _show_columns(console, columns_of, name=name)
    always = shown(constant_answer(results))
    console.print(shown(f"\nFull model {_number(audit['full'])}   {always} {_number(audit['majority'])}"))
    console.print(escape(_own(audit["verdict"], "sentence")), style="bold", soft_wrap=_as_is())


def _show_columns(console: Console, columns: Mapping[str, Any], *, name: str) -> None:
    """The columns of the table that the model needs most."""
    console.print(f"\n{shown(Words(f'{_COLUMNS.english}: {name}', f'{_COLUMNS.chinese}：{name}'))}", style="bold")
    table = _table("column", "worse by", "95 % interval")
    first = list(columns.items())[:_MAX_COLUMNS]
    for column, found in first:
        pair = found["interval"]
        bounds = " to ".join(_number(value, decimals=3) for value in pair) if pair else ""
        table.add_row(escape(column), _number(found["importance"]), f"[dim]{bounds}[/]")
    console.print(table)
    if len(columns) > len(first):
        console.print(shown(f"and {len(columns) - len(first)} more columns in the report"), style="dim")
    if len(columns) > 1:
        console.print(shown(_SHARED), style="dim")


def _as_is() -> bool:
    """Whether the terminal is to break sentences: it breaks Chinese at the end of a line, rich at its few blanks."""
    return language() == "zh"


def _metric(name: str) -> str:
    """A metric as results name it, or its Chinese name."""
    return metric_words(name).chinese if language() == "zh" else name


def _said(words: Words) -> str:
    return words.chinese if language() == "zh" else words.english


def _own(said: Mapping[str, Any], key: str) -> str:
    """A sentence that results hold in both languages."""
    return str(said.get(f"{key}_zh") if language() == "zh" else said[key])


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
        table.add_column(shown(column), no_wrap=True, justify="left" if index == 0 else "right", vertical="bottom")
    return table


def _list(*columns: str) -> Table:
    """Columns of words, the last of which may take several lines; Chinese is broken anywhere, as it has no blanks."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    for column in columns[:-1]:
        table.add_column(shown(column), overflow="fold", min_width=min(len(column), 12))
    table.add_column(shown(columns[-1]), ratio=1, overflow="fold")
    return table


def _console() -> Console:
    return Console(highlight=False)


def show_hits(hits: Sequence[Hit]) -> None:
    """What a search has found, best first: why, and the cells."""
    table = Table(box=SIMPLE_HEAD, header_style="bold")
    columns = list(dict.fromkeys(name for hit in hits for name in hit.row))[:_MAX_COLUMNS]
    for name in ("", "key", "score", *columns, "found by"):
        table.add_column(shown(name) if name else "", overflow="fold", no_wrap=name == "key")
    for place, hit in enumerate(hits, start=1):
        why = ", ".join(f"{name} {score:.2f}" for name, score in hit.found_by.items())
        cells = [escape(str(hit.row.get(name, ""))[:_LONGEST_CELL]) for name in columns]
        table.add_row(str(place), hit.key, f"{hit.score:.3f}", *cells, escape(why))
    _console().print(table)


def show_matches(results: Mapping[str, Any], run: Path | None = None) -> None:
    """What a space is worth: what is found by what, beside plain answers, and what to type next."""
    from tonggan.evaluation.bootstrap import MIN_ROWS

    console = _console()
    split, metrics = list(results["metrics"].items())[-1]
    names = ("recall@1", "recall@5", "recall@10", "mrr", "median_rank")
    table = Table(box=SIMPLE_HEAD, header_style="bold")
    table.add_column(shown(f"{results['rows'][split]:,} rows of {split}"))
    for name in names:
        table.add_column(name, justify="right")
    directions = dict.fromkeys(name.rpartition(" ")[0] for name in metrics if "→" in name)
    rows = [(each, {name: metrics.get(f"{each} {name}") for name in names}) for each in directions]
    rows += [(shown("all"), metrics), *((shown(name), found) for name, found in results["others"].items())]
    for title, found in rows:
        cells = ["" if found.get(name) is None else _match_metric(name, found[name]) for name in names]
        table.add_row(escape(title), *cells)
    console.print(table)
    if results["rows"][split] < MIN_ROWS:
        told = shown(f"Only {results['rows'][split]} rows were measured: these numbers say little.")
        console.print(told, style="bold yellow")
    if run is not None:
        folder = shlex.quote(str(run))
        console.print(shown(f"Next: tonggan index {folder} DATA --out INDEX, then tonggan search INDEX TEXT"))


def _match_metric(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "median_rank" else f"{value:.3f}"

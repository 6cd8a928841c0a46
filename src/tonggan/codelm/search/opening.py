"""Opens the index of a repository with the embedder that it was made with.

An index is worth nothing to another embedder than its own, so its folder remembers which one that was.
"""

from __future__ import annotations

from pathlib import Path

from tonggan.codelm.search.code_index import CodeIndex, index_folder
from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_file
from tonggan.models.text_embedder import TextEmbedder
from tonggan.weights import find_weights
from tonggan.weights.text import MINILM, NAMES

NO_EMBEDDER = "none"
"""The name that stands for searching by words and symbols alone."""

_FILE = "embedder.txt"


def open_index(root: Path, *, folder: Path | None = None, embedder: str | None = None) -> CodeIndex:
    """The index of the repository at ``root``.

    Args:
        root: of the repository, or any folder with code.
        folder: where the index is kept; by default a folder of its own in the cache.
        embedder: ``minilm``, ``e5``, a folder as ``TextEmbedder.save`` writes it, or ``none``. By default the one that
            the index was last made with; of a new index ``minilm`` where its package is installed, else ``none``.

    Raises:
        CacheError: the folder of the index cannot be used.
        ConfigError, DataError: there is no such repository or embedder.
        MissingExtraError: a package that the index or the embedder needs is not installed.
    """
    root = root.expanduser().resolve()
    folder = folder or index_folder(root)
    name = embedder or _remembered(folder) or (MINILM if find_weights(MINILM).is_installed else NO_EMBEDDER)
    loaded = _loaded(name, is_remembered=embedder is None)
    index = CodeIndex.open(root, folder=folder, embedder=loaded)
    if name != _remembered(folder):
        with whole_file(folder / _FILE) as file:
            file.write_text(name if name in (*NAMES, NO_EMBEDDER) else str(Path(name).resolve()), encoding="utf-8")
    return index


def _loaded(name: str, *, is_remembered: bool) -> TextEmbedder | None:
    if name == NO_EMBEDDER:
        return None
    try:
        loaded = TextEmbedder.load(name)
        loaded.free_weights()
        return loaded
    except (ConfigError, DataError) as error:
        if not is_remembered:
            raise
        raise DataError(
            f"embedder '{name}', which the index was made with",
            got=f"{error.who}: {error.got}",
            expected=error.expected,
            remedy="Put it back where it was, or name another one: tonggan code index PATH --embedder minilm",
        ) from error


def _remembered(folder: Path) -> str | None:
    try:
        return (folder / _FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeError):  # There is none, or it is damaged: vectors of another embedder are made anew.
        return None

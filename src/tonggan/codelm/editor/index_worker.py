"""Refreshes the index of one repository and ends: the process that an editor's server starts beside itself."""

from __future__ import annotations

import sys
from pathlib import Path

from tonggan.errors import TongganError


def main(root: str, embedder: str | None = None) -> int:
    """Refresh an index; 0 where it is up to date, 1 where somebody else writes it or it cannot be kept.

    Args:
        root: the repository.
        embedder: name or folder of what makes vectors; None for an index of words and symbols.
    """
    from tonggan.codelm.search.code_index import CodeIndex
    from tonggan.models.text_embedder import TextEmbedder

    try:
        made = None if embedder is None else TextEmbedder.load(embedder)
        CodeIndex.open(Path(root), embedder=made).refresh()
    except TongganError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

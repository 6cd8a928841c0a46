"""Refreshes the index of one repository and ends: the process that an editor's server starts beside itself."""

from __future__ import annotations

import sys
from pathlib import Path

from tonggan.errors import TongganError


def main(root: str, embedder: str | None = None) -> int:
    """Refresh an index; 0 where it is up to date, 1 where somebody else writes it or it cannot be kept.

    Args:
        root: the repository.
        embedder: as ``open_index`` takes it.
    """
    from tonggan.codelm.search.opening import open_index

    try:
        done = open_index(Path(root), embedder=embedder).refresh()
    except TongganError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, reason in sorted(done.skipped.items()):
        sys.stderr.write(f"Skipped {name}: {reason}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

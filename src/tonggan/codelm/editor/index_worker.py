"""Refreshes the index of one repository and ends: the process that an editor's server starts beside itself."""

from __future__ import annotations

import sys
from pathlib import Path

from tonggan.errors import TongganError


def main(root: str) -> int:
    """Refresh the index of ``root``; 0 where it is up to date, 1 where somebody else holds it or it cannot be."""
    from tonggan.codelm.search.code_index import CodeIndex

    try:
        CodeIndex.open(Path(root)).refresh()
    except TongganError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

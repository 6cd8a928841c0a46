"""A copy of the tree that tests need, within bounds: what is run is run there, the user's files stay as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tonggan.codelm.source_file import read_bytes
from tonggan.codelm.walk import NEVER_SOURCE, walk
from tonggan.errors import DataError

_MOST_FILE, _MOST_ALL, _MOST_FILES = 20_000_000, 400_000_000, 20_000


@contextmanager
def copied_tree(root: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of what is tracked or not ignored below ``root``, and what is left out with the reason.

    Hidden files that git does not track, such as ``.env``, are not copied; compiled extensions are, ignored or not.

    Raises:
        DataError: there is more than can be copied.
    """
    with tempfile.TemporaryDirectory(prefix="tonggan-optimize-") as folder:
        left_out: dict[Path, str] = {}
        names: dict[str, str] = {}
        copy, total, number = Path(folder) / "tree", 0, 0
        copy.mkdir()
        for path in _files(root, left_out):
            content = read_bytes(path, _MOST_FILE)
            name = path.relative_to(root)
            if not isinstance(content, bytes):
                names[name.as_posix()] = " ".join(content).strip()
                continue
            total, number = total + len(content), number + 1
            if total > _MOST_ALL or number > _MOST_FILES:
                raise DataError(
                    f"tree {root}",
                    got=f"more than {_MOST_ALL:,} bytes or {_MOST_FILES:,} files to copy for the tests",
                    expected="a project, in a folder of its own",
                    remedy="Run 'git init' in the project's folder, or let .gitignore name what the tests do not need",
                )
            place = copy / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        names |= {path.as_posix(): reason for path, reason in left_out.items()}
        yield copy, names


def _files(root: Path, left_out: dict[Path, str]) -> Iterator[Path]:
    seen = set()
    for path in walk(root, left_out=left_out):
        seen.add(path)
        yield path
    for folder in {path.parent for path in seen if path.suffix == ".py"}:
        if NEVER_SOURCE.isdisjoint(folder.parts[len(root.parts) :]):
            yield from (path for path in folder.glob("*.so") if path not in seen and not path.is_symlink())

"""Which repository a file belongs to, and when it was last changed.

Repositories are work trees of git, installed Python packages, or plain folders. No file is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.source_file import read_bytes
from tonggan.codelm.walk import walk

_MAX_RECORD = 50_000_000  # bytes of the list of files that an installed package brought
_SECONDS = 300.0  # for a whole history; that of Linux takes two minutes


@dataclass(frozen=True)
class Repository:
    """Files that belong together.

    Attributes:
        name: unlike that of any other.
        folder: what the names of its files are relative to.
        files: absolute, in order.
        metadata: the ``dist-info`` folder of an installed Python package.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    metadata: Path | None = None


def find_repositories(paths: Sequence[Path], *, left_out: dict[Path, str] | None = None) -> list[Repository]:
    """The repositories at and below ``paths``, in that order; no file is in two.

    A work tree of git is one, a submodule is its own, and in a folder of installed packages each package is one. What
    remains of a path is one that bears the name of its folder.

    Args:
        paths: repositories, folders of them or of installed packages, or files.
        left_out: as ``walk`` takes it.

    Raises:
        DataError: there is nothing at a path.
    """
    groups: dict[tuple[Path, Path | None], list[Path]] = {}
    seen: set[Path] = set()
    for path in paths:
        root = path.absolute()
        top = root if root.is_dir() else root.parent
        packages = dict(_installed(top))
        homes: dict[Path, Path] = {top: top}
        for file in walk(root, left_out=left_out):
            if file not in seen:
                seen.add(file)
                home = _home(file.parent, homes)
                package = packages.get(file.relative_to(top).parts[0]) if packages else None
                groups.setdefault((home, package), []).append(file)
    names = _names([package or home for home, package in groups])
    return [
        Repository(name, home, tuple(files), package)
        for name, ((home, package), files) in zip(names, groups.items(), strict=True)
    ]


def last_changes(repository: Repository) -> dict[Path, int]:
    """When each file was last changed, in seconds since 1970, as far as git knows; a file's own time is not asked.

    Raises:
        DataError: git did not answer within bounds, or does not trust the repository.
    """
    if repository.metadata is not None:
        return {}
    options = ("-z", "--format=%x01%ct", "--name-only", "--no-renames", "--relative")
    log = run_git(repository.folder, "log", *options, seconds=_SECONDS)
    times: dict[Path, int] = {}
    time = 0
    for part in (log or b"").split(b"\0"):
        line = part.strip(b"\n")
        if line.startswith(b"\1"):
            time = int(line[1:])
        elif line:
            times.setdefault(repository.folder / os.fsdecode(line), time)  # The log begins with the last change.
    return times


def _home(folder: Path, homes: dict[Path, Path]) -> Path:
    """The nearest folder from ``folder`` upwards that is a work tree of git, or else the one that was asked for."""
    if folder not in homes:
        homes[folder] = folder if (folder / ".git").exists() else _home(folder.parent, homes)
    return homes[folder]


def _installed(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each file or folder in ``folder`` that an installed package brought, and the package's ``dist-info``."""
    for metadata in sorted(folder.glob("*.dist-info")):
        record = read_bytes(metadata / "RECORD", _MAX_RECORD)
        lines = record.decode("utf-8", "replace").splitlines() if isinstance(record, bytes) else []
        for name in {line.split(",")[0].split("/")[0].strip('"') for line in lines} - {
            metadata.name,
            "..",
            "__pycache__",
        }:
            yield name, metadata


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its last part, and as many before it as tell it from all others."""
    names = []
    for folder in folders:
        plain = folder.with_name(folder.name.split("-")[0]) if folder.name.endswith(".dist-info") else folder
        others = {other for other in folders if other != folder}
        depth = 1
        while depth < len(plain.parts) and any(other.parts[-depth:] == plain.parts[-depth:] for other in others):
            depth += 1
        names.append("/".join(plain.parts[-depth:]).encode("utf-8", "backslashreplace").decode())
    return names

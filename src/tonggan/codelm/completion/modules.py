"""Where Python's modules are, and what stands in them, by reading files: nothing is imported and nothing is run."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

from tonggan.codelm.completion.names import Names, names_of
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.errors import DataError

_KEPT = 128


class Modules:
    """The modules that code in a workspace can import.

    A module of the repository stands before one of its virtual environment, and that before those that this
    interpreter has.

    Args:
        workspace: the repository; unsaved texts count.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.root = workspace.root
        self._workspace = workspace
        self._parsed: OrderedDict[Path, tuple[str, Syntax, Names]] = OrderedDict()
        root = workspace.root
        own = [] if (root / "__init__.py").is_file() else [root]
        self._roots = [*own, root / "src", *environment_packages(root), *(Path(place) for place in sys.path if place)]

    def find(self, name: str, *, importer: Path) -> Path | None:
        """The file of a module; None where there is none that can be read.

        Args:
            name: dotted, with dots before it where it is relative.
            importer: the file that asks.
        """
        level = len(name) - len(name.lstrip("."))
        parts = [part for part in name.lstrip(".").split(".") if part]
        if level:
            folder = importer.parent
            for _ in range(level - 1):
                folder = folder.parent
            return _file_of(folder, parts)
        found = (_file_of(root, parts) for root in self._roots_of(importer))
        return next((file for file in found if file is not None), None)

    def has_folder(self, name: str, *, importer: Path) -> bool:
        """Whether a folder may be a package of that name, though it has no ``__init__.py``."""
        return any((root / name).is_dir() for root in self._roots_of(importer))

    def _roots_of(self, importer: Path) -> list[Path]:
        top = importer.parent
        while (top / "__init__.py").is_file() and top.parent != top:
            top = top.parent
        return list(dict.fromkeys([top, *self._roots]))

    def parsed(self, path: Path) -> tuple[Syntax, Names] | None:
        """The tree of a file and what it binds; None where it cannot be read."""
        text = self._workspace.text_of(path)
        if text is None:
            return None
        known = self._parsed.get(path)
        if known is None or known[0] != text:
            try:
                syntax = Syntax.of(text, "python", former=known[1] if known else None)
            except DataError:
                return None
            known = (text, syntax, names_of(syntax, syntax.tree.root_node))
        self._parsed[path] = known
        self._parsed.move_to_end(path)
        while len(self._parsed) > _KEPT:
            self._parsed.popitem(last=False)
        return known[1], known[2]


def environment_packages(root: Path) -> list[Path]:
    """Where packages are in the virtual environments of the repository at ``root``."""
    return [*root.glob(".venv/lib/python3*/site-packages"), *root.glob("venv/lib/python3*/site-packages")]


def _file_of(folder: Path, parts: list[str]) -> Path | None:
    place = folder.joinpath(*parts)
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py") if parts else place / "__init__.py"):
        if file.is_file():
            return file
    return None

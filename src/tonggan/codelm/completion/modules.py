"""Where Python's modules are, and what stands in them, by reading files: nothing is imported and nothing is run.

``JediAttributes`` says what jedi knows of an expression, within a time budget and in a thread of its own.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from pathlib import Path
from typing import Any

from tonggan.codelm.completion.names import Names, names_of
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.errors import DataError, MissingExtraError
from tonggan.processes import isolated_environment

_KEPT = 128
_KEPT_EXPRESSIONS = 256
_KEY_CHARACTERS = 160  # before an expression; while they stay alike it is taken to be the same


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


class JediAttributes:
    """Attributes by jedi (static analysis; no code runs). What comes too late is there for the next key.

    It asks this interpreter what installed packages hold, started so that it imports nothing from the repository. What
    the repository says of its interpreter (``.jedi``, a virtual environment in use) is not believed: it would be run.

    Args:
        root: the repository.
        seconds: to wait at most.

    Raises:
        MissingExtraError: jedi is not installed.
    """

    def __init__(self, root: Path, *, seconds: float) -> None:
        try:
            import jedi
        except ImportError as error:
            raise MissingExtraError.of("jedi", extra="code", purpose="checking attributes with jedi") from error
        jedi.settings.auto_import_modules = []  # by default it imports a module named gi, whosever it is
        packages = [str(folder) for folder in environment_packages(root)]
        self._project = jedi.Project(str(root), added_sys_path=packages)
        self._script = jedi.Script
        self._create_environment = jedi.create_environment
        self._seconds = seconds
        self._environment: Any = None  # a process, started when it is first asked
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jedi")
        self._known: OrderedDict[tuple[Path, str], Future[frozenset[str]]] = OrderedDict()
        self._lock = threading.Lock()

    def ending_at(self, syntax: Syntax, end: int, *, path: Path) -> frozenset[str] | None:
        """The attributes of the expression that ends at the byte ``end``; None where they are not known, or not yet."""
        code = syntax.content[:end].decode("utf-8", "replace") + "."
        key = (path, code[-_KEY_CHARACTERS:])
        with self._lock:
            if key not in self._known:
                if any(not other.done() for other in self._known.values()):
                    return None
                self._known[key] = self._worker.submit(self._ask, code, path)
                while len(self._known) > _KEPT_EXPRESSIONS:
                    self._known.popitem(last=False)
            future = self._known[key]
        try:
            error = future.exception(timeout=self._seconds)
        except LateError:
            return None
        return None if error is not None else future.result() or None  # jedi fails on some code, in many ways

    def _ask(self, code: str, path: Path) -> frozenset[str]:
        if self._environment is None:
            self._environment = self._create_environment(sys.executable, safe=False, env_vars=isolated_environment())
        script = self._script(code, path=path, project=self._project, environment=self._environment)
        line = code.count("\n") + 1
        column = len(code) - 1 - code.rfind("\n")
        return frozenset(found.name for found in script.complete(line, column))

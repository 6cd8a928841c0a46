"""What jedi knows of the attributes of an expression, within a time budget. It computes in a thread of its own."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from pathlib import Path
from typing import Any

from tonggan.codelm.completion.modules import environment_packages
from tonggan.codelm.completion.syntax import Syntax
from tonggan.errors import MissingExtraError
from tonggan.processes import isolated_environment

_KEPT = 256
_KEY_CHARACTERS = 160  # before an expression; while they stay alike it is taken to be the same


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
                while len(self._known) > _KEPT:
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

"""What jedi knows of the attributes of an expression, within a time budget. It computes in a thread of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from pathlib import Path

from tonggan.codelm.completion.syntax import Syntax
from tonggan.errors import MissingExtraError

_KEPT = 256
_KEY_CHARACTERS = 160  # before an expression; while they stay alike it is taken to be the same


class JediAttributes:
    """Attributes by jedi (static analysis; no code runs). What comes too late is there for the next key.

    Args:
        seconds: to wait at most.

    Raises:
        MissingExtraError: jedi is not installed.
    """

    def __init__(self, *, seconds: float) -> None:
        try:
            import jedi
        except ImportError as error:
            raise MissingExtraError.of("jedi", extra="code", purpose="checking attributes with jedi") from error
        self._script = jedi.Script
        self._seconds = seconds
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
        line = code.count("\n") + 1
        column = len(code) - 1 - code.rfind("\n")
        return frozenset(found.name for found in self._script(code, path=path).complete(line, column))

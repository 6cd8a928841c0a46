"""What the compiled modules of this interpreter's own library hold: there is no source to read."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from functools import cache
from pathlib import Path


@cache
def compiled_names(name: str) -> frozenset[str] | None:
    """The names in a compiled module of the standard library, as ``zlib``; None for any other module.

    Only such a module is imported: it is code of this interpreter, never of a repository or an installed package.
    """
    if name not in sys.builtin_module_names and not _is_extension(name):
        return None
    try:
        return frozenset(dir(importlib.import_module(name)))
    except ImportError:  # built without the system's library that it needs
        return None


def _is_extension(name: str) -> bool:
    if name not in sys.stdlib_module_names:
        return False
    found = importlib.util.find_spec(name)
    folder = sysconfig.get_config_var("DESTSHARED")
    return bool(found and found.origin and folder and Path(found.origin).parent == Path(folder))

"""A function in its module or class, and others in its place: they see the same globals and the same class."""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


class UnplacedError(Exception):
    """The function is not found where it should be, or another cannot be made there."""


def module_of(path: str, tree: str) -> types.ModuleType:
    """The module whose file is ``path``: as the tests have imported it, else imported now.

    Raises:
        UnplacedError: it cannot be imported.
    """
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or Path(file).name != Path(path).name or module.__name__ == "__main__":
            continue
        if os.path.realpath(file) == os.path.realpath(path):
            return module
    folder, name = Path(path).parent, Path(path).stem
    while (folder / "__init__.py").is_file() and folder != Path(tree):
        name = folder.name if name == "__init__" else f"{folder.name}.{name}"
        folder = folder.parent
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UnplacedError(f"cannot be imported: {type(error).__name__}: {error}"[:200]) from error
    if os.path.realpath(getattr(module, "__file__", None) or "") != os.path.realpath(path):
        raise UnplacedError(f"another module has its name {name}")
    return module


class Place:
    """Where a function stands.

    Args:
        module: of the function.
        qualified_name: ``name``, or ``Class.name``.
    """

    def __init__(self, module: types.ModuleType, qualified_name: str) -> None:
        self._module = module
        owner, _, self._name = qualified_name.rpartition(".")
        self._class: type | None = None
        if owner:
            self._class = getattr(module, owner, None)
            if not isinstance(self._class, type):
                raise UnplacedError(f"{owner} is no class of the module as it was imported")
        spaces: Any = module.__dict__ if self._class is None else self._class.__dict__
        if self._name not in spaces:
            raise UnplacedError("it is not there after the module was imported")
        self.original = spaces[self._name]
        if not isinstance(self.original, types.FunctionType | staticmethod | classmethod):
            raise UnplacedError(f"it is a {type(self.original).__name__} after the module was imported")

    def build(self, source: str, imports: list[str]) -> Any:
        """The function that ``source`` defines, in this place; nothing changes but for the imports.

        Raises:
            UnplacedError: it cannot be made.
        """
        spaces = self._module.__dict__
        flags = 0
        if isinstance(spaces.get("annotations"), __future__._Feature):
            flags = __future__.annotations.compiler_flag
        try:
            for line in imports:
                exec(line, spaces)  # noqa: S102 - it is what the sandbox is for
            tree = ast.parse(source)
            if self._class is not None:
                tree.body = [_class_around(self._class.__name__, tree.body)]
            local: dict[str, Any] = {}
            code = compile(tree, self._module.__file__ or "module", "exec", flags, dont_inherit=True)
            exec(code, spaces, local)  # noqa: S102
        except Exception as error:
            raise UnplacedError(f"cannot be made again: {type(error).__name__}: {error}"[:200]) from error
        if self._class is None:
            return local[self._name]
        made = local[self._class.__name__].__dict__[self._name]
        for name, cell in zip(plain(made).__code__.co_freevars, plain(made).__closure__ or (), strict=True):
            if name == "__class__":
                cell.cell_contents = self._class
        plain(made).__qualname__ = plain(self.original).__qualname__
        return made

    def put(self, function: Any) -> Callable[..., Any]:
        """Put ``function`` in the place, and return what is called with all arguments, ``self`` among them."""
        if self._class is None:
            self._module.__dict__[self._name] = function
        else:
            setattr(self._class, self._name, function)
        called: Callable[..., Any] = plain(function)
        return called


def plain(function: Any) -> Any:
    """The function inside of a static method or a class method."""
    return function.__func__ if isinstance(function, staticmethod | classmethod) else function


def _class_around(name: str, body: list[ast.stmt]) -> ast.ClassDef:
    made = ast.parse(f"class {name}: pass").body[0]
    assert isinstance(made, ast.ClassDef)
    made.body = body
    return made

"""What is to be made faster: the functions of a file or a folder, or one of them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from tonggan.codelm.source_file import MAX_BYTES, read_bytes, why_skipped
from tonggan.codelm.tree import root_of
from tonggan.codelm.walk import walk
from tonggan.errors import DataError

_DEEPEST = 60  # levels of nesting; visitors take several frames for each
_ALLOWED_DECORATORS = {"staticmethod", "classmethod", "override", "typing.override"}


@dataclass(frozen=True)
class Module:
    """A file whose functions may be rewritten.

    Attributes:
        path: absolute.
        name: relative to the root of the tree.
        content: of the file.
        tree: of the content; it gives the content back byte by byte.
        names: that the module binds or reads outside of functions, and in them.
    """

    path: Path
    name: str
    content: bytes
    tree: cst.Module
    names: frozenset[str]


@dataclass(frozen=True)
class Function:
    """A function of a module, or a method of one of its classes.

    Attributes:
        module: it is in.
        name: qualified: ``function`` or ``Class.method``.
        line: the first, decorators included, as Python counts its code from.
        node: in the module's tree.
    """

    module: Module
    name: str
    line: int
    node: cst.FunctionDef

    @property
    def place(self) -> str:
        """For a person."""
        return f"{self.module.name}:{self.line} {self.name}"


@dataclass
class Target:
    """What was named.

    Attributes:
        root: of the tree that the tests need.
        functions: that can be looked at.
        problems: what of it cannot, with the reason.
    """

    root: Path
    functions: list[Function] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def find_target(target: str) -> Target:
    """The functions of ``FILE``, ``FILE:FUNCTION``, ``FILE:Class.method`` or ``FOLDER``.

    Raises:
        DataError: there is no such file, folder or function, or the one file that was named cannot be used.
    """
    name, wanted = target, ""
    if not Path(target).exists() and ":" in target:
        name, _, wanted = target.rpartition(":")
    path = Path(name).absolute()
    if not path.exists():
        raise DataError(
            f"target {target}", got="no such file or folder", expected="FILE, FILE:FUNCTION or FOLDER",
            remedy="Check the path",
        )  # fmt: skip
    path = path.resolve()
    found = Target(root=root_of(path))
    files = (each for each in walk(path) if not _is_test(each.relative_to(path))) if path.is_dir() else [path]
    for file in files:
        _add_file(found, file, is_named=path.is_file())
    if wanted:
        found.functions = [each for each in found.functions if each.name == wanted]
        reasons = [reason for place, reason in found.problems.items() if place.endswith(f" {wanted}")]
        if not found.functions:
            raise DataError(
                f"target {target}", got=reasons[0] if reasons else "a file without such a function",
                expected="a function of the module, or Class.method", remedy="Name another function",
            )  # fmt: skip
    return found


def _is_test(name: Path) -> bool:
    """Whether a file holds tests: they are run, and not made faster unless they are named."""
    is_in_folder = not {"test", "tests"}.isdisjoint(name.parts[:-1])
    return is_in_folder or name.name == "conftest.py" or name.stem.startswith("test_") or name.stem.endswith("_test")


def _add_file(target: Target, path: Path, *, is_named: bool) -> None:
    if path.suffix not in (".py", ".pyw"):
        reason = _NOT_PYTHON.get(path.suffix)
        if reason is None and not is_named:
            return
        problem = reason or "no file of Python"
    else:
        name = path.relative_to(target.root).as_posix()
        content = read_bytes(path, MAX_BYTES)
        if isinstance(content, bytes):
            made = _parse(path, name, content)
            if isinstance(made, Module):
                _add_functions(target, made)
                return
            problem = made
        else:
            problem = why_skipped(*content)
    if is_named:
        raise DataError(
            f"target {path}", got=problem, expected="a file of Python 3 that can be parsed", remedy="Name another file"
        )
    target.problems[path.relative_to(target.root).as_posix()] = problem


_NOT_PYTHON = {
    ".ipynb": "a notebook: its cells have no tests; move the function into a module",
    ".so": "a compiled extension",
    ".pyd": "a compiled extension",
    ".pyx": "Cython, which is compiled",
}


def _parse(path: Path, name: str, content: bytes) -> Module | str:
    """The module, or why there is none."""
    try:
        tree = ast.parse(content)
        if _depth(tree) > _DEEPEST:
            return f"code that is nested more than {_DEEPEST} levels deep"
        parsed = cst.parse_module(content)
    except SyntaxError as error:
        old = " (Python 2?)" if "print" in (error.msg or "") or "except" in (error.text or "") else ""
        return f"code that does not parse: {error.msg}, line {error.lineno}{old}"
    except (cst.ParserSyntaxError, ValueError, RecursionError, MemoryError, UnicodeError) as error:
        return f"code that does not parse: {type(error).__name__}"
    if parsed.bytes != content:
        return "code that would not be written back as it is"
    return Module(path, name, content, parsed, frozenset(_names(tree)))


def _depth(tree: ast.AST) -> int:
    """Levels of nesting; without recursion, since that is what is in question."""
    deepest, waiting = 0, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def _names(tree: ast.AST) -> set[str]:
    from tonggan.codelm.optimization.facts import names_in

    return set(names_in(tree))


def _add_functions(target: Target, module: Module) -> None:
    wrapper = MetadataWrapper(module.tree, unsafe_skip_copy=True)
    positions = wrapper.resolve(PositionProvider)
    found: dict[str, Function] = {}
    for owner, node in _definitions(module.tree):
        name = f"{owner}.{node.name.value}" if owner else node.name.value
        first = node.decorators[0] if node.decorators else node
        function = Function(module, name, positions[first].start.line, node)
        reason = "it is defined twice" if name in found else _refusal(node)
        if reason is not None:
            target.problems[function.place] = reason
            earlier = found.get(name)
            target.functions = [each for each in target.functions if each is not earlier]
        else:
            target.functions.append(function)
        found[name] = function


def _definitions(module: cst.Module) -> list[tuple[str, cst.FunctionDef]]:
    found: list[tuple[str, cst.FunctionDef]] = []
    for part in module.body:
        if isinstance(part, cst.FunctionDef):
            found.append(("", part))
        elif isinstance(part, cst.ClassDef) and isinstance(part.body, cst.IndentedBlock):
            found += [(part.name.value, each) for each in part.body.body if isinstance(each, cst.FunctionDef)]
    return found


def _refusal(node: cst.FunctionDef) -> str | None:
    """Why a function is not looked at."""
    empty = cst.Module(body=[])
    for decorator in node.decorators:
        name = empty.code_for_node(decorator.decorator)
        if name not in _ALLOWED_DECORATORS:
            return f"it is decorated with {name[:60]}, so what is called is not the function alone"
    tree = ast.parse(empty.code_for_node(node))
    for each in ast.walk(tree):
        if isinstance(each, ast.Global):
            return "it changes global variables"
    return None

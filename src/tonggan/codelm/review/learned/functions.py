"""The functions of source files, each a text of its own that knows where it stands in its file."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tonggan.codelm.review.learned.data_flow import Parameters
from tonggan.codelm.review.learned.surroundings import ALONE, FileAround, Surroundings, parameters_of
from tonggan.codelm.review.learned.tokens import lines_of
from tonggan.codelm.source_file import SourceFile, read_source
from tonggan.codelm.walk import walk
from tonggan.errors import DataError
from tonggan.grammars import language_of
from tonggan.progress import Progress


class Function(NamedTuple):
    """One function or method, without what encloses it.

    Attributes:
        text: its source, from its decorators on, not indented.
        name: with the classes around it, e.g. ``Cache.get``.
        path: of the file, as it was read.
        line: of the file where it begins, from 1.
        indent: what stood before each of its lines.
        around: the rest of the file.
    """

    text: str
    name: str
    path: str
    line: int
    indent: str
    around: Surroundings = ALONE

    def place(self, offset: int) -> tuple[int, int]:
        """Line, from 1, and column, from 0, in the file of a character of ``text``."""
        begin = self.text.rfind("\n", 0, offset) + 1
        return self.line + self.text.count("\n", 0, offset), offset - begin + len(self.indent)


def functions_of(source: SourceFile, parameters: Parameters | None = None) -> list[Function]:
    """Functions of modules and classes of Python, in their order; functions in functions belong to those around them.

    What cannot be parsed has none.

    Args:
        source: the file.
        parameters: of functions that may be called in it; those of the file by default.
    """
    tree = parsed(source.text)
    if tree is None:
        return []
    if parameters is None:
        own: dict[str, tuple[str, ...] | None] = {}
        parameters_of(tree, own)
        parameters = own
    classes = list(_classes(tree.body))
    around = FileAround(source.text, classes, parameters)
    return list(_definitions(tree.body, lines_of(source.text), source.name, "", around))


def _classes(body: Sequence[ast.stmt]) -> Iterator[tuple[int, int]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.lineno, node.end_lineno or node.lineno
        if isinstance(node, ast.ClassDef | ast.If | ast.Try | ast.With):
            yield from _classes(node.body)


def parsed(text: str) -> ast.Module | None:
    """The tree of a file's text; None where it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user's escapes are not ours to judge
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _definitions(
    body: Sequence[ast.stmt], lines: list[str], path: str, prefix: str, around: FileAround
) -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, lines, path, f"{prefix}{node.name}.", around)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node.body, lines, path, prefix, around)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            end = node.end_lineno or node.lineno
            own = lines[line - 1 : end]
            indent = own[0][: len(own[0]) - len(own[0].lstrip())] if own else ""
            text = "".join(each.removeprefix(indent) for each in own)
            yield Function(text, prefix + node.name, path, line, indent, Surroundings(around, line, end))


def read_functions(paths: Sequence[Path], *, progress: Progress | None = None) -> list[Function]:
    """The functions in all Python files of ``paths``, each text once; paths begin with the name of their folder.

    Stubs (``.pyi``) are left out: nothing in them runs, and installed packages have as many of them as of functions.

    Raises:
        DataError: there is nothing at a path.
    """
    progress = progress or Progress()
    functions: dict[str, Function] = {}
    packages: dict[Path, dict[str, tuple[str, ...] | None]] = {}  # what their functions take, known when all are read
    for root in paths:
        if not root.exists():
            raise DataError(f"path {root}", got="nothing there", expected="a folder or file", remedy="Check the path")
        files = [path for path in walk(root) if language_of(path) == "python" and path.suffix != ".pyi"]
        for path in progress.track(files, label=f"read {root.name}"):
            source = read_source(path, root=root)
            tree = parsed(source.text) if isinstance(source, SourceFile) else None
            if isinstance(source, SourceFile) and tree is not None:
                parameters = packages.setdefault(_package_of(path.parent), {})
                parameters_of(tree, parameters)
                for function in functions_of(source, parameters):
                    functions.setdefault(function.text, function._replace(path=f"{root.resolve().name}/{source.name}"))
    return list(functions.values())


@cache
def _package_of(folder: Path) -> Path:
    """The outermost package that a folder belongs to, or the folder."""
    is_inside = (folder / "__init__.py").exists() and (folder.parent / "__init__.py").exists()
    return _package_of(folder.parent) if is_inside else folder

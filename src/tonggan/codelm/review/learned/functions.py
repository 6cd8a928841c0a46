"""The functions of source files, each a text of its own that knows where it stands in its file."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

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
    """

    text: str
    name: str
    path: str
    line: int
    indent: str

    def place(self, offset: int) -> tuple[int, int]:
        """Line, from 1, and column, from 0, in the file of a character of ``text``."""
        begin = self.text.rfind("\n", 0, offset) + 1
        return self.line + self.text.count("\n", 0, offset), offset - begin + len(self.indent)


def functions_of(source: SourceFile) -> list[Function]:
    """Functions of modules and classes of Python, in their order; functions in functions belong to those around them.

    What cannot be parsed has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user's escapes are not ours to judge
            tree = ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lines = source.text.splitlines(keepends=True)
    return list(_definitions(tree.body, lines, source.name, ""))


def _definitions(body: Sequence[ast.stmt], lines: list[str], path: str, prefix: str) -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, lines, path, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node.body, lines, path, prefix)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            own = lines[line - 1 : node.end_lineno]
            indent = own[0][: len(own[0]) - len(own[0].lstrip())] if own else ""
            text = "".join(each.removeprefix(indent) for each in own)
            yield Function(text, prefix + node.name, path, line, indent)


def read_functions(paths: Sequence[Path], *, progress: Progress | None = None) -> list[Function]:
    """The functions in all Python files of ``paths``, each text once; paths begin with the name of their folder.

    Raises:
        DataError: there is nothing at a path.
    """
    progress = progress or Progress()
    functions: dict[str, Function] = {}
    for root in paths:
        if not root.exists():
            raise DataError(f"path {root}", got="nothing there", expected="a folder or file", remedy="Check the path")
        files = [path for path in walk(root) if language_of(path) == "python"]
        for path in progress.track(files, label=f"read {root.name}"):
            source = read_source(path, root=root)
            if isinstance(source, SourceFile):
                for function in functions_of(source):
                    functions.setdefault(function.text, function._replace(path=f"{root.resolve().name}/{source.name}"))
    return list(functions.values())

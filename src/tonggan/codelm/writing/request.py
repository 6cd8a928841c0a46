"""What is to be written, and where: the place in a file, and the examples that it has to pass. It runs nothing."""

from __future__ import annotations

import ast
import builtins
import doctest
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tonggan.codelm.source_file import MAX_BYTES, read_bytes, why_skipped
from tonggan.codelm.tree import root_of
from tonggan.errors import ConfigError, DataError

Function = ast.FunctionDef | ast.AsyncFunctionDef
"""Nodes that define one."""
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_MOST_CALLS = 40


@dataclass(frozen=True)
class Example:
    """An expression that must be true.

    Attributes:
        source: as it was given.
        got: of a comparison by ``==`` its left side, to be shown beside the other one where they differ; else empty.
        expected: its right side; else empty.
    """

    source: str
    got: str = ""
    expected: str = ""


@dataclass(frozen=True)
class Request:
    r"""A function to write.

    Attributes:
        what: it shall do, in words; may be empty where a docstring says so.
        path: of the file.
        root: of the tree that tests need.
        content: of the file as it is.
        encoding: of the content.
        newline: at the ends of its lines.
        before: the text up to what is written, with ``\n`` at line ends, nothing blank at its end.
        after: the text that follows.
        indent: what the lines of the function's ``def`` begin with.
        name: of the function; empty where the model may choose.
        owner: the class that it is a method of; empty for a function of the module.
        header: of a function that is there, its text from the first line to the end of its docstring; else empty.
        examples: that must be true.
        sessions: texts with examples as an interpreter shows them (doctest).
        tests: a command of Python; None for none.
        calls: of the function, with arguments that are literals, out of examples and tests.
    """

    what: str
    path: Path
    root: Path
    content: bytes
    encoding: str
    newline: str
    before: str
    after: str
    indent: str
    name: str
    owner: str
    header: str
    examples: tuple[Example, ...]
    sessions: tuple[str, ...]
    tests: str | None
    calls: tuple[str, ...]

    @property
    def file(self) -> str:
        """The path relative to the root."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def has_checks(self) -> bool:
        """Whether anything tells right from wrong."""
        return bool(self.examples or self.sessions or self.tests)

    @property
    def head(self) -> str:
        """The text before a new function, with empty lines at its end."""
        return self.before + "\n" * (2 if self.indent else 3) if self.before else ""

    @property
    def margin(self) -> str:
        """What the lines of the function's body begin with: as its docstring, else one step as the file has it."""
        last = self.header.split("\n")[-1]
        if last.rstrip().endswith(('"""', "'''")) and last[:1].isspace():
            return last[: len(last) - len(last.lstrip())]
        step = re.search(r"^(\t| {2,8})(?=\S)", f"{self.before}\n{self.after}", re.MULTILINE)
        return self.indent + (step[1] if step else "    ")

    @property
    def line(self) -> int:
        """Where the function begins, decorators included, from 1."""
        text = self.before.removesuffix(self.header) if self.header else self.head
        return text.count("\n") + 1

    def whole(self, written: str) -> str:
        r"""The text of the file with ``written``, with ``\n`` at its line ends."""
        if self.header:
            return f"{self.before}{written.rstrip()}\n{self.after}"
        gap = "\n" * (1 if self.after[:1].isspace() else 2) if self.after else ""
        return f"{self.head}{self.indent}{written.strip()}\n{gap}{self.after}"

    def encoded(self, text: str) -> bytes:
        """The file's content for ``text``."""
        return text.replace("\n", self.newline).encode(self.encoding)


def read_request(
    what: str, path: Path, line: int, *, examples: Sequence[str] = (), tests: str | None = None
) -> Request:
    """What is asked for at a line of a file.

    A function around the line gets another body. Elsewhere, and at the head of a function with a body where examples or
    tests call what the file lacks, a new one is written, which has that name.

    Args:
        what: it shall do; doctests in it count as examples.
        path: of a file of Python 3.
        line: from 1; one more than the file has is its end.
        examples: expressions that must be true, such as ``f(2) == 4``.
        tests: a file of tests, or a command such as ``pytest tests/test_a.py -k two``.

    Raises:
        ConfigError: the line is none of the file or inside of another statement, or an example is no expression.
        DataError: the file or the tests cannot be read, or the file does not parse.
    """
    path = path.absolute()
    content = read_bytes(path, MAX_BYTES)
    if not isinstance(content, bytes):
        reason, detail = content
        raise _unreadable(path, why_skipped("no such file" if reason == "vanished" else reason, detail))
    path = path.resolve()
    text, encoding, newline = _decoded(path, content)
    num_lines = text.count("\n") + 1
    if not 1 <= line <= num_lines + 1:
        raise ConfigError(
            f"line {line} of {path.name}", got=f"a file of {num_lines} lines",
            expected=f"a line from 1 to {num_lines + 1}",
            remedy="Name the line of a function, or the line before which a new one is inserted",
        )  # fmt: skip
    text, tree = _parsed(path, text, line)
    root = root_of(path)
    given = tuple(each for text in examples for each in _examples(text))
    test_file, command = _tests(tests, root)
    code = [*(each.source for each in given), test_file]
    wanted = _missing_name(what, code, tree, path.stem)
    place = _Place.of(text, tree, line, path, is_new=bool(wanted))
    name = place.name or wanted
    sessions = [each for each in (what, place.docstring) if _shown(each)]
    calls = () if place.owner else tuple(dict.fromkeys(_calls(name, [*code, *sessions])))[:_MOST_CALLS]
    return Request(
        what, path, root, content, encoding, newline, place.before, place.after, place.indent, name, place.owner,
        place.header, given, tuple(dict.fromkeys(sessions)), command, calls,
    )  # fmt: skip


def _unreadable(path: Path, got: str) -> DataError:
    return DataError(
        f"file {path}", got=got, expected="a file of Python 3 that can be parsed", remedy="Name another file"
    )


def _decoded(path: Path, content: bytes) -> tuple[str, str, str]:
    """The text, its encoding and its line ends, where the content comes back from them."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeError) as error:
        raise _unreadable(path, f"bytes that are not text: {error}") from error
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    if "\r" in text or "\0" in text or text.replace("\n", newline).encode(encoding) != content:
        raise _unreadable(path, "line ends of several kinds, or bytes that would not be written back as they are")
    return text, encoding, newline


def _parsed(path: Path, text: str, line: int) -> tuple[str, ast.Module]:
    """The text and its tree; a function at the line that has no body yet gets one."""
    try:
        return text, ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        first = error
    lines = text.split("\n")
    for number in (line, line - 1):
        head = lines[number - 1] if 1 <= number <= len(lines) else ""
        if head.rstrip().endswith((":", '"""', "'''")):
            indent = head[: len(head) - len(head.lstrip())]
            indent += "    " if head.rstrip().endswith(":") else ""
            completed = "\n".join([*lines[:number], f"{indent}...", *lines[number:]])
            try:
                return completed, ast.parse(completed)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    said = f"{first.msg}, line {first.lineno}" if isinstance(first, SyntaxError) else type(first).__name__
    raise _unreadable(path, f"code that does not parse: {said}")


@dataclass(frozen=True)
class _Place:
    before: str
    after: str
    indent: str
    name: str = ""
    owner: str = ""
    header: str = ""
    docstring: str = ""

    @classmethod
    def of(cls, text: str, tree: ast.Module, line: int, path: Path, *, is_new: bool) -> _Place:
        found = list(_around(tree, line))
        lines = text.split("\n")
        last = found[-1] if found else None
        if is_new and isinstance(last, Function) and line <= last.lineno and not is_empty(last):
            line = first_line(found.pop())
        if found and isinstance(found[-1], Function):
            return cls._body(found, lines)
        owner = found[-1] if found else None
        body = owner.body if isinstance(owner, ast.ClassDef) else tree.body
        crossed = next((each for each in body if first_line(each) < line <= (each.end_lineno or 0)), None)
        if crossed is not None or (owner is not None and line <= owner.body[0].lineno - 1):
            start = crossed.lineno if crossed is not None else owner.lineno if owner is not None else line
            raise ConfigError(
                f"line {line} of {path.name}", got=f"a line inside the statement that begins at line {start}",
                expected="a line of a function, or one between statements", remedy="Choose another line",
            )  # fmt: skip
        indent = " " * body[0].col_offset if owner is not None else ""
        before, after = "\n".join(lines[: line - 1]).rstrip(), "\n".join(lines[line - 1 :]).lstrip("\n")
        return cls(before, after, indent, owner=owner.name if isinstance(owner, ast.ClassDef) else "")

    @classmethod
    def _body(cls, found: list[_Definition], lines: list[str]) -> _Place:
        """Of a function that is there: its body is what is written."""
        node = found[-1]
        assert isinstance(node, Function)
        docstring = ast.get_docstring(node) or ""
        rest = node.body[1:] if docstring else node.body
        row, column = (rest[0].lineno, rest[0].col_offset) if rest else (node.end_lineno or 0, -1)
        head = lines[row - 1] if column < 0 else lines[row - 1].encode()[:column].decode()
        before = "\n".join([*lines[: row - 1], head]).rstrip()
        first = first_line(node)
        header = "\n".join(before.split("\n")[first - 1 :])
        owner = found[-2] if len(found) > 1 else None
        indent = lines[node.lineno - 1][: len(lines[node.lineno - 1]) - len(lines[node.lineno - 1].lstrip())]
        after = "\n".join(lines[node.end_lineno or 0 :])
        name = node.name if owner is None or isinstance(owner, ast.ClassDef) else ""
        return cls(before, after, indent, name or node.name, _dotted(found[:-1]), header, docstring)


def _dotted(nodes: Sequence[_Definition]) -> str:
    return ".".join(node.name for node in nodes)


def _around(tree: ast.Module, line: int) -> Iterator[_Definition]:
    """Functions and classes around a line, the outer first; the first line of a class stands before it."""
    for node in ast.walk(tree):  # level by level
        if isinstance(node, _Definition):
            first = first_line(node) + isinstance(node, ast.ClassDef)
            if first <= line <= (node.end_lineno or 0):
                yield node


def first_line(node: ast.stmt) -> int:
    """Where a statement begins, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def is_empty(node: Function) -> bool:
    """Whether a function has a docstring at most, or only says that it has yet to be written."""
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        or (isinstance(each, ast.Raise) and "NotImplementedError" in ast.unparse(each))
        for each in node.body
    )


def _examples(text: str) -> Iterator[Example]:
    try:
        statements = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        statements = []
    values = [each.test if isinstance(each, ast.Assert) else getattr(each, "value", None) for each in statements]
    plain = all(isinstance(each, ast.Expr | ast.Assert) for each in statements)
    if not statements or not plain:
        raise ConfigError(
            "example", got=f"'{text[:80]}'", expected="expressions that must be true, such as f(2) == 4",
            remedy="Write one expression per --examples",
        )  # fmt: skip
    for value in values:
        assert isinstance(value, ast.expr)
        is_equality = isinstance(value, ast.Compare) and len(value.ops) == 1 and isinstance(value.ops[0], ast.Eq)
        if isinstance(value, ast.Compare) and is_equality:
            yield Example(ast.unparse(value), ast.unparse(value.left), ast.unparse(value.comparators[0]))
        else:
            yield Example(ast.unparse(value))


def _tests(tests: str | None, root: Path) -> tuple[str, str | None]:
    """The text of a file of tests, and the command that runs it; a command is left as it is."""
    if tests is None:
        return "", None
    words = tests.split()
    named = Path(tests) if Path(tests).exists() or len(words) == 1 else None
    if named is None:
        files = [root / word.partition("::")[0] for word in words if ".py" in word]
        texts = [read_bytes(file, MAX_BYTES) for file in files]
        return "\n".join(each.decode("utf-8", "replace") for each in texts if isinstance(each, bytes)), tests
    content = read_bytes(named, MAX_BYTES)
    if tests == "pytest":
        return "", tests
    if not isinstance(content, bytes) or not named.resolve().is_relative_to(root):
        got = why_skipped(*content) if not isinstance(content, bytes) else "a place outside"
        raise DataError(
            f"tests {tests}", got=got, expected=f"a file of tests below {root}, or a command such as 'pytest tests'",
            remedy="Check the path",
        )  # fmt: skip
    return content.decode("utf-8", "replace"), f"pytest -q '{named.resolve().relative_to(root).as_posix()}'"


def _shown(text: str) -> list[str]:
    """The code of examples as an interpreter shows them; none where they are not indented alike."""
    try:
        return [each.source for each in doctest.DocTestParser().get_examples(text)] if ">>>" in text else []
    except ValueError:
        return []


def _trees(texts: Sequence[str]) -> Iterator[ast.AST]:
    """All nodes of texts that are code, and of the examples in docstrings and words."""
    for text in texts:
        for each in (text, *_shown(text)):
            try:
                yield from ast.walk(ast.parse(each))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue


def _missing_name(what: str, code: Sequence[str], tree: ast.Module, module: str) -> str:
    """The name that is wanted: what words define, tests import, or examples call, and the module lacks."""
    defined = re.search(r"\bdef\s+(\w+)\s*\(", what)
    known = {node.name for node in ast.walk(tree) if isinstance(node, _Definition)} | set(dir(builtins))
    known |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported, called = [defined[1]] if defined else [], []
    for node in _trees([*code, what]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] == module:
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.append(node.func.id)
    return next((name for name in [*imported, *called] if name not in known), "")


def _calls(name: str, texts: Sequence[str]) -> Iterator[str]:
    """Calls of ``name`` whose arguments are literals."""
    for node in _trees(texts):
        called = node.func if isinstance(node, ast.Call) else None
        own = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if not isinstance(node, ast.Call) or not name or own != name or not all(each.arg for each in node.keywords):
            continue
        try:
            for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
                ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        yield ast.unparse(ast.Call(ast.Name(name), node.args, node.keywords))

"""Defaults that are changed, resources that stay open, and copies in which a name was left as it was."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Function, Module, dotted
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

MUTABLE = "mutable-default"
OPEN = "resource-left-open"
COPY = "copy-not-renamed"
_CHANGING = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "clear", "sort", "discard",
             "popitem", "reverse"}  # fmt: skip
_OPENING = {"open", "io.open", "socket.socket", "sqlite3.connect", "gzip.open", "bz2.open", "zipfile.ZipFile",
            "tarfile.open", "tempfile.TemporaryFile", "tempfile.NamedTemporaryFile", "codecs.open"}  # fmt: skip
_FEWEST = 12  # names and constants in a statement that may be a copy
_MOST = 400
_FEWEST_RENAMED = 3
_SHORTEST = 3  # characters of a name; i and j are often both meant


@rule(MUTABLE, ruff=("B006",))
def mutable_defaults(repository: Repository) -> Iterator[Finding]:
    """A default list, dictionary or set is changed by the function, so that the next call starts with the change.

    Silent where the name is bound anew before. Linters tell all mutable defaults; here the change is the evidence.
    Known false alarms: a default that is kept as a cache on purpose and not named so.
    """
    for module in repository.reviewed_modules():
        for function in module.functions if not module.is_test else ():
            given = function.node.args
            positional = [*given.posonlyargs, *given.args]
            pairs = list(zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True))
            pairs += [
                (each, value)
                for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)
                if value is not None
            ]
            for each, value in pairs:
                if isinstance(value, ast.List | ast.Dict | ast.Set) or dotted(_called(value)) in (
                    "list",
                    "dict",
                    "set",
                ):
                    change = _change(function, each.arg)
                    if change is not None and not _is_kept(each.arg):
                        yield _mutable(module, function, each, change)


def _is_kept(name: str) -> bool:
    """Whether a name says that what it holds is kept from call to call."""
    return name.startswith("_") or "cache" in name or "memo" in name


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) and not node.args and not node.keywords else ast.Constant(None)


def _change(function: Function, name: str) -> ast.AST | None:
    """Where ``name`` is changed in place; None where it is bound anew anywhere."""
    found: ast.AST | None = None
    for node in function.own_nodes:
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return None
        target: ast.AST | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            target = node.func.value
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node.value
        if isinstance(target, ast.Name) and target.id == name:
            found = found or node
    return found


def _mutable(module: Module, function: Function, argument: ast.arg, change: ast.AST) -> Finding:
    line = getattr(change, "lineno", argument.lineno)
    column = module.column(argument.lineno, argument.col_offset)
    evidence = (
        Evidence(module.lines[argument.lineno - 1].strip(), module.path, argument.lineno),
        Evidence(module.lines[line - 1].strip(), module.path, line),
    )
    message = (
        f"the default of '{argument.arg}' is changed in {function.qualified_name}, and the next call gets it changed"
    )
    end = column + len(argument.arg)
    return Finding(MUTABLE, module.path, argument.lineno, argument.lineno, column, end, message, evidence, 0.95)


@rule(OPEN, ruff=("SIM115",))
def resources_left_open(repository: Repository) -> Iterator[Finding]:
    """A file, socket or connection is closed, but not if something between raises.

    Told only where the function itself closes it in the same block, with calls of others between. Known false alarms:
    calls that never raise.
    """
    for module in repository.reviewed_modules():
        if module.is_test:
            continue
        for function in module.functions:
            for block in _blocks(function):
                yield from _open_in(module, block)


def _blocks(function: Function) -> Iterator[list[ast.stmt]]:
    yield function.node.body
    for node in function.own_nodes:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and not isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield block


def _open_in(module: Module, block: list[ast.stmt]) -> Iterator[Finding]:
    for place, statement in enumerate(block):
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            continue
        call = statement.value
        if not isinstance(call, ast.Call) or _full_name(module, call.func) not in _OPENING:
            continue
        name = statement.targets[0].id
        for other, later in enumerate(block[place + 1 :], start=place + 1):
            if _closes(later, name):
                between = [node for each in block[place + 1 : other] for node in ast.walk(each)]
                if any(isinstance(node, ast.Call) for node in between) and not any(
                    isinstance(node, ast.Try) and node.finalbody for node in between
                ):
                    yield _left_open(module, statement, name, later)
                break


def _full_name(module: Module, node: ast.expr) -> str:
    name = dotted(node)
    first, _, rest = name.partition(".")
    target = module.imports.get(first)
    if target is None:
        return name
    whole = target[0] if target[1] is None else f"{target[0]}.{target[1]}"
    return f"{whole}.{rest}" if rest else whole


def _closes(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and dotted(
        statement.value.func
    ) == f"{name}.close"  # fmt: skip


def _left_open(module: Module, statement: ast.Assign, name: str, closing: ast.stmt) -> Finding:
    column = module.column(statement.lineno, statement.col_offset)
    shown = tuple(
        Evidence(module.lines[line - 1].strip(), module.path, line) for line in (statement.lineno, closing.lineno)
    )
    message = f"'{name}' stays open if something raises before it is closed in line {closing.lineno}"
    line = statement.lineno
    return Finding(OPEN, module.path, line, line, column, column + len(name), message, shown, 0.9)


@rule(COPY)
def copies_not_renamed(repository: Repository) -> Iterator[Finding]:
    """Of two statements one after the other that differ in a name, one occurrence of the name was not changed.

    Told where the name is another in at least three places and the same in one, and the other name is new. Known false
    alarms: a name that both statements share on purpose.
    """
    for module in repository.reviewed_modules():
        for block in _all_blocks(module):
            for first, second in pairwise(block):
                if type(first) is type(second) and _height(first) == _height(second):
                    yield from _not_renamed(module, first, second)


def _all_blocks(module: Module) -> Iterator[list[ast.stmt]]:
    for node, _ in module.nodes:
        if not isinstance(node, ast.stmt | ast.Module | ast.excepthandler):
            continue
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and len(block) > 1:
                yield block


def _height(statement: ast.stmt) -> int:
    return (statement.end_lineno or 0) - statement.lineno


def _leaves(statement: ast.stmt) -> list[tuple[str, str, ast.AST]]:
    """The kinds of all nodes in order, with the names that they have."""
    found: list[tuple[str, str, ast.AST]] = []
    stack: list[ast.AST] = [statement]
    while stack and len(found) < _MOST:
        node = stack.pop()
        text = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None) or ""
        if isinstance(node, ast.Constant):
            text = repr(node.value)[:40]
        found.append((type(node).__name__, str(text), node))
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return found


def _not_renamed(module: Module, first: ast.stmt, second: ast.stmt) -> Iterator[Finding]:
    one, other = _leaves(first), _leaves(second)
    if len(one) != len(other) or len(one) < _FEWEST or [each[0] for each in one] != [each[0] for each in other]:
        return
    pairs = [(a[1], b[1], b[2]) for a, b in zip(one, other, strict=True) if a[0] == "Name"]
    shared = {before for before, _, _ in pairs}
    for name in sorted({before for before, after, _ in pairs if before != after and len(before) >= _SHORTEST}):
        became = [(after, node) for before, after, node in pairs if before == name]
        kept = [node for after, node in became if after == name]
        changed = [after for after, _ in became if after != name]
        if len(kept) == 1 and len(changed) >= _FEWEST_RENAMED and len(set(changed)) == 1 and changed[0] not in shared:
            node = kept[0]
            assert isinstance(node, ast.Name)
            column = module.column(node.lineno, node.col_offset)
            message = (
                f"'{name}' may be left over from the statement before: it is '{changed[0]}' in {len(changed)} other "
                "places"
            )
            shown = tuple(
                Evidence(module.lines[line - 1].strip(), module.path, line) for line in (node.lineno, first.lineno)
            )
            end = column + len(name)
            yield Finding(COPY, module.path, node.lineno, node.lineno, column, end, message, shown, 0.7)

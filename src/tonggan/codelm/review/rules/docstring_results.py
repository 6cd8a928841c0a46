"""Exceptions and results that a docstring tells and the body contradicts."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from tonggan.codelm.review.docstring import Entry
from tonggan.codelm.review.documented import Documented, documented
from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Class, Function, Module, dotted
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

RAISES = "docstring-raises"
RETURNS = "docstring-returns"

_UNTOLD = {"NotImplementedError", "AssertionError", "StopIteration", "KeyboardInterrupt", "SystemExit",
           "ImportError", "ModuleNotFoundError", "StopAsyncIteration", "DeprecationWarning"}  # fmt: skip
_NOTHING = re.compile(r"[`*]*(?:none|nothing)\b|-+$|n/?a\b", re.IGNORECASE)
_HARMLESS = re.compile(
    r"open$|lock|errstate|no_grad|catch_warnings|Pool|Executor|Temporary", re.IGNORECASE
)  # in `with`


@rule(RAISES, ruff=("DOC501", "DOC502"))
def told_exceptions(repository: Repository) -> Iterator[Finding]:
    """A function raises an exception itself that its docstring leaves out, though it tells others.

    An exception counts as told where one that it derives from is. Silent on what is caught again or stands in a
    ``with`` that may do so, on assertions and their like, and where the class is not known. What is told and raised
    nowhere in the body is named beside it. Known false alarms: exceptions that are left out on purpose, as those
    for wrong use.
    """
    for each in documented(repository):
        told = each.docstring.told("raises")
        if not told or not isinstance(each.owner, Function) or not each.docstring.is_whole("raises"):
            continue
        lines = _ancestry(repository, each.module, [entry.name for entry in told])
        raised = _raised(each.owner)
        names = {node: _ancestors(repository, each.module, name) for node, (name, _) in raised.items()}
        told_names = {entry.name.rpartition(".")[2] for entry in told}
        untold = {
            raised[node][0]: node
            for node, ancestors in names.items()
            if ancestors is not None
            and not ancestors & told_names
            and raised[node][0].rpartition(".")[2] not in _UNTOLD
            and not any(raised[node][0].rpartition(".")[2] in line for line in lines)
        }
        text = each.docstring.text
        untold = {name: node for name, node in untold.items() if name.rpartition(".")[2] not in text}
        idle = [
            entry
            for entry in told
            if not any(entry.name.rpartition(".")[2] in (ancestors or set()) for ancestors in names.values())
        ]
        if untold:
            yield from _told_findings(each, untold, idle)


def _told_findings(each: Documented, untold: dict[str, ast.Raise], idle: list[Entry]) -> Iterator[Finding]:
    for name, node in sorted(untold.items(), key=lambda item: item[1].lineno):
        raised = Evidence(each.module.lines[node.lineno - 1].strip(), each.module.path, node.lineno)
        swapped = len(idle) == 1 and len(untold) == 1
        entry = idle[0] if swapped else each.docstring.told("raises")[-1]
        message = f"{each.name} raises {name}, which its docstring leaves out"
        if swapped:
            message = f"{each.name} raises {name}, which its docstring leaves out, and not {entry.name}, which it names"
        yield each.finding(
            RAISES,
            message,
            line=entry.line,
            column=entry.column,
            length=len(entry.name),
            confidence=0.85 if swapped else 0.75,
            evidence=(raised,),
        )


def _raised(function: Function) -> dict[ast.Raise, tuple[str, ast.expr]]:
    """What the body raises by the name of a class, unless it is caught again in the same function."""
    found: dict[ast.Raise, tuple[str, ast.expr]] = {}
    stack: list[tuple[ast.AST, bool]] = [(node, False) for node in function.node.body]
    while stack:
        node, caught = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None and not caught:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = dotted(raised)
            if name.rpartition(".")[2][:1].isupper():
                found[node] = (name, raised)
        if isinstance(node, ast.With | ast.AsyncWith):
            managers = [
                dotted(item.context_expr.func if isinstance(item.context_expr, ast.Call) else item.context_expr)
                for item in node.items
            ]
            caught = caught or not all(_HARMLESS.search(name) for name in managers)
        if isinstance(node, ast.Try | ast.TryStar):
            stack += [(child, caught or bool(node.handlers)) for child in node.body]
            stack += [(child, caught) for part in (node.handlers, node.orelse, node.finalbody) for child in part]
        else:
            stack += [(child, caught) for child in ast.iter_child_nodes(node)]
    return found


def _ancestors(repository: Repository, module: Module, name: str) -> set[str] | None:
    """The names of an exception and of all that it derives from; None where that is not known."""
    last = name.rpartition(".")[2]
    builtin = getattr(builtins, name, None)
    meant = repository.resolve(module, ast.parse(name, mode="eval").body)
    if isinstance(meant, Class):
        found: set[str] = set()
        for each in repository.bases(meant)[0]:
            found.add(each.name)
            for base in each.node.bases:
                found |= _of_builtin(dotted(base))
        return found
    if isinstance(builtin, type) and issubclass(builtin, BaseException):
        return _of_builtin(last)
    return None


def _of_builtin(name: str) -> set[str]:
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return {name.rpartition(".")[2]}
    same = {"OSError", "IOError", "EnvironmentError"}
    names = {base.__name__ for base in kind.__mro__ if base is not object}
    return names | same if names & same else names


def _ancestry(repository: Repository, module: Module, names: list[str]) -> list[set[str]]:
    """Of each told exception what it derives from: a base that is raised may well be meant."""
    return [_ancestors(repository, module, name) or {name.rpartition(".")[2]} for name in names]


@rule(RETURNS, ruff=("DOC202", "DOC403"))
def told_results(repository: Repository) -> Iterator[Finding]:
    """A docstring describes a result, and the function returns nothing; or it describes none of a generator.

    Silent on bodies that are no more than a stub, that always raise, and on what a decorator turns into something else.
    Known false alarms: a base class's method that subclasses fill in with a body that does a little.
    """
    for each in documented(repository):
        function = each.owner
        if not isinstance(function, Function) or each.parameters is None or not each.is_sealed or _is_stub(function):
            continue
        if any("contextmanager" in name or name.startswith(("abc.", "abstract")) for name in function.decorators):
            continue
        told = [*each.docstring.told("returns"), *each.docstring.told("yields")]
        gives = any(
            isinstance(node, ast.Yield | ast.YieldFrom) or (isinstance(node, ast.Return) and node.value is not None)
            for node in function.own_nodes
        )
        if not told or gives:
            continue
        entry = told[0]
        said = entry.type or entry.text
        if not said or any(_NOTHING.match(text) for text in (entry.type, entry.text)) or _never_ends(function):
            continue
        yield each.finding(
            RETURNS,
            f"a result is described, but {each.name} returns nothing",
            line=entry.line,
            column=entry.column,
            length=max(1, len(each.module.lines[entry.line - 1].rstrip()) - entry.column + 1),
            confidence=0.9,
        )


def _is_stub(function: Function) -> bool:
    """Whether the body does nothing but raise or pass."""
    rest = [
        statement
        for statement in function.node.body
        if not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]
    return not rest or all(isinstance(statement, ast.Raise) for statement in rest)


def _never_ends(function: Function) -> bool:
    """Whether the last statement raises, calls what may never return, or loops forever."""
    last = function.node.body[-1]
    return isinstance(last, ast.Raise | ast.While) or any(
        isinstance(node, ast.Raise)
        and dotted(node.exc.func if isinstance(node.exc, ast.Call) else node.exc) == "NotImplementedError"
        for node in function.own_nodes
        if isinstance(node, ast.Raise) and node.exc is not None
    )

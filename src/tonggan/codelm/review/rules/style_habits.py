"""How nearly all files of a repository import and log, and one does not."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Module, dotted
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

IMPORT = "habit-import"
LOGGING = "habit-logging"
_SHARE, _MANY = 0.9, 10  # of ten files or more nine in ten agree
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


@rule(IMPORT, ruff=("ICN001",), is_wide=True)
def import_habits(repository: Repository) -> Iterator[Finding]:
    """A module is imported under another name than the short one of nine in ten files of the repository.

    Known false alarms: a file in which the usual name means something else.
    """
    names: dict[str, Counter[str]] = {}
    places: dict[tuple[str, str], list[tuple[Module, ast.Import]]] = {}
    for module in repository.modules():
        for node, _ in module.nodes:
            if not isinstance(node, ast.Import):
                continue
            for alias in node.names:
                name = alias.asname or alias.name
                names.setdefault(alias.name, Counter())[name] += 1
                places.setdefault((alias.name, name), []).append((module, node))
    for target, counts in names.items():
        usual, count = counts.most_common(1)[0]
        total = sum(counts.values())
        if total < _MANY or count < _SHARE * total or usual == target:
            continue
        for name in counts:
            for module, node in places[target, name] if name != usual else ():
                has_reason = "#" in module.lines[node.lineno - 1] or node in _inner(module)
                if usual not in module.bound and not has_reason:
                    example = places[target, usual][0]
                    message = f"{target} is imported as '{name}' here and as '{usual}' in {count} other places"
                    yield _finding(IMPORT, module, node, message, example, 0.6)


def _inner(module: Module) -> set[ast.AST]:
    """What stands in functions, whose imports may have reasons of their own."""
    return {node for function in module.functions for node in function.own_nodes}


@rule(LOGGING, ruff=("LOG015",), is_wide=True)
def logging_habits(repository: Repository) -> Iterator[Finding]:
    """A file logs through the module ``logging`` itself where nine of ten have a logger of their own.

    Known false alarms: a script that is run alone.
    """
    own: list[tuple[Module, ast.expr]] = []
    root: list[tuple[Module, ast.Call]] = []
    for module in repository.modules():
        if module.imports.get("logging") != ("logging", None):
            continue
        loggers = [value for value in module.values.values() if isinstance(value, ast.Call)
                   and dotted(value.func) == "logging.getLogger"]  # fmt: skip
        own += [(module, each) for each in loggers[:1]]
        calls = [call.node for call in module.calls if _is_root(call.node)]
        root += [(module, each) for each in calls[:1] if not loggers]
    if len(own) + len(root) < _MANY or len(own) < _SHARE * (len(own) + len(root)):
        return
    for module, call in root:
        message = f"this file logs through 'logging' itself; {len(own)} others have a logger of their own"
        yield _finding(LOGGING, module, call, message, own[0], 0.7)


def _is_root(call: ast.Call) -> bool:
    first, _, last = dotted(call.func).partition(".")
    return first == "logging" and last in _LEVELS


def _finding(
    name: str,
    module: Module,
    node: ast.expr | ast.stmt,
    message: str,
    example: tuple[Module, ast.AST],
    confidence: float,
) -> Finding:
    line = node.lineno
    column = module.column(line, node.col_offset)
    other = getattr(example[1], "lineno", 1)
    shown = (
        Evidence(module.lines[line - 1].strip(), module.path, line),
        Evidence(example[0].lines[other - 1].strip(), example[0].path, other),
    )
    end = max(column + 1, len(module.lines[line - 1].rstrip()) + 1)
    return Finding(name, module.path, line, line, column, end, message, shown, confidence)

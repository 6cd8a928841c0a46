"""Whether a function gives one value or many, as its docstring and its body say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tonggan.codelm.review.documented import Documented, documented
from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Function
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

YIELDS = "docstring-yields"

_LAZY = re.compile(r"iter|generat|yield|stream|lazy|lazily|sequence of|each|one by one|context|async", re.IGNORECASE)
_PLAIN = {"str", "int", "float", "bool", "bytes", "list", "dict", "tuple", "set", "None", "frozenset"}


@rule(YIELDS, ruff=("DOC202", "DOC402", "DOC403", "DOC201"))
def told_yields(repository: Repository) -> Iterator[Finding]:
    """A docstring says what a function returns, and it is a generator; or what it yields, and it returns plain values.

    Silent where the words speak of an iterator, under decorators, and where what is returned may be one. Known false
    alarms: a result that is described as what the caller makes of it.
    """
    for each in documented(repository):
        function = each.owner
        if not isinstance(function, Function) or function.decorators or each.parameters is None:
            continue
        yields = [node for node in function.own_nodes if isinstance(node, ast.Yield | ast.YieldFrom)]
        returns = [node for node in function.own_nodes if isinstance(node, ast.Return) and node.value is not None]
        told = each.docstring.told("returns"), each.docstring.told("yields")
        if yields and not returns and told[0] and not told[1]:
            entry = told[0][0]
            if not _LAZY.search(f"{entry.name} {entry.type} {entry.text} {_summary(each)}"):
                yield _finding(each, f"a result is described, but {each.name} is a generator", yields[0])
        elif returns and not yields and told[1] and not told[0] and all(_is_plain(node, function) for node in returns):
            yield _finding(each, f"{each.name} is said to yield, but it returns one value", returns[0])


def _summary(each: Documented) -> str:
    return next((text for _, text in each.docstring.lines if text.strip()), "")


def _is_plain(node: ast.Return, function: Function) -> bool:
    """Whether a returned value is surely none that yields others."""
    annotation = function.node.returns
    name = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    if isinstance(name, ast.Name):
        return name.id in _PLAIN
    return isinstance(node.value, ast.Constant | ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp
                      | ast.SetComp | ast.JoinedStr | ast.Compare | ast.BinOp | ast.Tuple)  # fmt: skip


def _finding(each: Documented, message: str, node: ast.expr | ast.stmt) -> Finding:
    entry = [*each.docstring.told("returns"), *each.docstring.told("yields")][0]
    shown = Evidence(each.module.lines[node.lineno - 1].strip(), each.module.path, node.lineno)
    length = max(1, len(each.module.lines[entry.line - 1].rstrip()) - entry.column + 1)
    return each.finding(
        YIELDS, message, line=entry.line, column=entry.column, length=length, confidence=0.75, evidence=(shown,)
    )

"""A list that a loop appends to becomes a comprehension."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import appended, bound_in, has, names_in, starts_empty, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, next_use, statements

_NOT_INSIDE = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)


class Comprehensions(Rewrite):
    """``r = []`` and ``for x in y: r.append(z)`` in one; so too with conditions and loops inside of each other.

    Where an element raises, the list that was begun is lost in both, unless something outside holds it.
    """

    name = "comprehension"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        name = starts_empty(sites[start].tree)
        if name is None:
            return None
        end = next_use(sites, start, name)
        if end is None:
            return None
        loop = sites[end].tree
        found = _clauses(loop, name)
        if found is None:
            return None
        clauses, element = found
        targets = bound_in(loop)
        if name in targets - {name} or any(self.occurs_outside(target, [loop]) for target in targets - {name}):
            return None
        if has(loop, *_NOT_INSIDE) or name in names_in(element) or any(name in names_in(part) for part in clauses[1]):
            return None
        if not self.take():
            return None
        made = statements(f"{name} = [{text(element)} {' '.join(clauses[0])}]\n")
        return end - start + 1, [*(site.node for site in sites[start + 1 : end]), *made]


def _clauses(statement: ast.stmt, name: str) -> tuple[tuple[list[str], list[ast.expr]], ast.expr] | None:
    """The clauses of the comprehension, the expressions in them, and the element."""
    words: list[str] = []
    parts: list[ast.expr] = []
    while True:
        match statement:
            case ast.For(target=target, iter=iterated, body=[inner], orelse=[]):
                words.append(f"for {text(target)} in {text(iterated)}")
                parts.append(iterated)
            case ast.If(test=test, body=[inner], orelse=[]) if words:
                words.append(f"if {text(test)}")
                parts.append(test)
            case _:
                found = appended(statement, name)
                return None if found is None or not words else ((words, parts), found[1])
        statement = inner

"""Text that grows in a loop is joined once at the end."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import partial

import libcst as cst

from tonggan.codelm.optimization.facts import changes_all, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, next_use, replaced_statements, statements


class Joins(Rewrite):
    """``s = ""`` and ``s += x`` in a loop that does nothing else with ``s`` become a list and ``"".join``.

    ``s = x + s`` is joined in reverse. A part that is no text raises another TypeError.
    """

    name = "join"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        match sites[start].tree:
            case ast.Assign([ast.Name(name)], ast.Constant(str() as first)):
                pass
            case _:
                return None
        end = next_use(sites, start, name)
        if end is None or not isinstance(sites[end].tree, ast.For | ast.While):
            return None
        loop = sites[end]
        for is_before in (False, True):
            added = partial(_added, name=name, is_before=is_before)
            if (is_before and first) or not changes_all(loop.tree, name, added):
                continue
            if not self.take():
                return None
            parts = self.fresh(f"{name}_parts")
            made = replaced_statements(loop.node, partial(_append, name=name, parts=parts, is_before=is_before))
            order = f"reversed({parts})" if is_before else parts
            return end - start + 1, [
                *statements(f"{parts} = [{first!r}]\n" if first else f"{parts} = []\n"),
                *(site.node for site in sites[start + 1 : end]), made, *statements(f'{name} = "".join({order})\n'),
            ]  # fmt: skip
        return None


def _append(statement: ast.AST, *, name: str, parts: str, is_before: bool) -> str | None:
    found = _added(statement, name=name, is_before=is_before)
    if found is None:
        return None
    if len(found) == 1:
        return f"{parts}.append({text(found[0])})"
    return f"{parts} += ({', '.join(text(each) for each in (reversed(found) if is_before else found))})"


def _added(statement: ast.AST, *, name: str, is_before: bool) -> list[ast.expr] | None:
    """What is added to the text, part by part, at its end or before it."""
    match statement:
        case ast.AugAssign(target=ast.Name(target), op=ast.Add(), value=value) if target == name and not is_before:
            parts = [value]
        case ast.Assign([ast.Name(target)], ast.BinOp(op=ast.Add()) as value) if target == name:
            chain = _chain(value)
            if is_before:
                chain.reverse()
            if not (isinstance(chain[0], ast.Name) and chain[0].id == name):
                return None
            parts = list(reversed(chain[1:])) if is_before else chain[1:]
        case _:
            return None
    return None if any(name in names_in(part) for part in parts) else parts


def _chain(value: ast.expr) -> list[ast.expr]:
    """The terms of ``a + b + c``."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return [*_chain(value.left), value.right]
    return [value]

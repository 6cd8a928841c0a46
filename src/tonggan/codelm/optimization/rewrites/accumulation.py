"""Lists and tuples that are copied for each element that a loop adds are appended to instead."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import appended, changes_all, is_unchanged, names_in, starts_empty, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced_statements, statements


class Accumulation(Rewrite):
    """``a = a + [x]`` and ``a += [x]`` become ``a.append(x)``, for a list that the function has made itself.

    A tuple that grows by ``t += (x,)`` becomes a list, and a tuple again after the loop.
    """

    name = "append"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        kind = ast.Tuple if starts_empty(sites[start].tree, ast.Tuple) else ast.List
        name = starts_empty(sites[start].tree, kind)
        if name is None:
            return None
        end = start + 1
        while end < len(sites) and is_unchanged(name, [sites[end].tree]):
            end += 1
        if end == len(sites) or not isinstance(sites[end].tree, ast.For | ast.While):
            return None
        between = [site.node for site in sites[start + 1 : end]]
        loop = sites[end]
        if kind is ast.Tuple:
            if any(name in names_in(site.tree) for site in sites[start + 1 : end]):
                return None
            if not changes_all(loop.tree, name, lambda each: _tupled(each, name) is not None) or not self.take():
                return None
            made = replaced_statements(
                loop.node,
                lambda each: None if (found := _tupled(each, name)) is None else f"{name}.append({text(found)})",
            )
            return end - start + 1, [
                *statements(f"{name} = []\n"), *between, made, *statements(f"{name} = tuple({name})\n")
            ]  # fmt: skip
        copied = [each for each in ast.walk(loop.tree) if _copied(each, name) is not None]
        if not copied or not _is_only_read(loop.tree, name) or not self.take():
            return None
        made = replaced_statements(
            loop.node, lambda each: None if (found := _copied(each, name)) is None else f"{name}.append({text(found)})"
        )
        return end - start + 1, [sites[start].node, *between, made]


def _tupled(statement: ast.AST, name: str) -> ast.expr | None:
    match statement:
        case ast.AugAssign(target=ast.Name(target), op=ast.Add(), value=ast.Tuple([element])):
            pass
        case ast.Assign([ast.Name(target)], ast.BinOp(ast.Name(other), ast.Add(), ast.Tuple([element]))) if (
            other == target
        ):
            pass
        case _:
            return None
    return (
        element if target == name and name not in names_in(element) and not isinstance(element, ast.Starred) else None
    )


def _copied(statement: ast.AST, name: str) -> ast.expr | None:
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return None
    found = appended(statement, name)
    return None if found is None else found[1]


def _is_only_read(loop: ast.stmt, name: str) -> bool:
    """Whether the loop does nothing with a list but to append to it and to read it: no other name holds it."""

    class Without(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            if isinstance(node, ast.stmt) and appended(node, name) is not None:
                return ast.Pass()
            return super().generic_visit(node)

    rest = Without().visit(ast.parse(ast.unparse(loop)))
    return is_unchanged(name, [rest])

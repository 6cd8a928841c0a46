"""Sorting all to take one: the smallest or the largest is found in one pass."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced


class Smallest(Rewrite):
    """``sorted(a)[0]`` becomes ``min(a)``, ``sorted(a)[-1]`` becomes ``max(a)``; an empty one raises another error."""

    name = "smallest"
    _is_guarded = False

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        if not isinstance(sites[start].tree, ast.Assign | ast.Return | ast.Expr | ast.AugAssign):
            return None
        node = sites[start].node
        for each in ast.walk(sites[start].tree):
            made = self._made(each)
            if made is not None and self.take():
                node = replaced(node, text(each), made)
        return None if node is sites[start].node else (1, [node])

    def _made(self, node: ast.AST) -> str | None:
        match node:
            case ast.Subscript(ast.Call(ast.Name("sorted"), [values], options), place):
                pass
            case _:
                return None
        keywords = {each.arg: each.value for each in options}
        backwards = keywords.pop("reverse", ast.Constant(False))
        if not isinstance(backwards, ast.Constant) or keywords.keys() - {"key"} or text(place) not in ("0", "-1"):
            return None
        is_first = text(place) == "0"
        is_largest = bool(backwards.value) == is_first
        key = f", key={text(keywords['key'])}" if "key" in keywords else ""
        if self._is_guarded:
            function = self.need("heapq", "nlargest" if is_largest else "nsmallest")
            return f"{function}(1, {text(values)}{key})[0]"
        return f"{'max' if is_largest else 'min'}({text(values)}{key})"


class SmallestOfHeap(Smallest):
    """The same with ``heapq``, which raises as the sorted list does where there is none."""

    name = "smallest-guarded"
    _is_guarded = True

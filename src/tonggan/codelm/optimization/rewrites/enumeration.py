"""A loop over positions that reads the elements there goes over the elements."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import bound_in, is_unchanged, length_of, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced


class Enumeration(Rewrite):
    """``for i in range(len(a))`` with ``a[i]`` becomes ``for x in a``, or ``enumerate`` if ``i`` is used otherwise."""

    name = "elements"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        node = sites[start].node
        match sites[start].tree:
            case ast.For(ast.Name(index), ast.Call(ast.Name("range"), [*limits], []), body) as loop if isinstance(
                node, cst.For
            ):
                pass
            case _:
                return None
        values = self._whole_length(limits)
        if values is None:
            return None
        if index in bound_in(*body) or not is_unchanged(values, body):
            return None
        element = f"{values}[{index}]"
        reads = [
            each for part in body for each in ast.walk(part) if isinstance(each, ast.expr) and text(each) == element
        ]
        if not reads or not self.take():
            return None
        item = self.fresh(_singular(values))
        body_node = replaced(node.with_changes(target=cst.Name("_"), iter=cst.Name("_")), element, item)
        assert isinstance(body_node, cst.For)
        others = sum(names_in(part)[index] for part in body) - len(reads)
        if others or self.occurs_outside(index, [loop]):
            target, over = f"{index}, {item}", f"enumerate({values})"
        else:
            target, over = item, values
        header = cst.parse_statement(f"for {target} in {over}:\n    pass\n")
        assert isinstance(header, cst.For)
        return 1, [body_node.with_changes(target=header.target, iter=header.iter)]

    def _whole_length(self, limits: list[ast.expr]) -> str | None:
        """The list whose positions a range goes over: ``len(a)``, or a name for it in a function that keeps ``a``."""
        if len(limits) == 2 and text(limits[0]) == "0":
            limits = limits[1:]
        match limits:
            case [ast.Call(ast.Name("len"), [ast.Name(values)], [])]:
                return values
            case [ast.Name(length)]:
                return length_of(length, self.tree)
        return None


def _singular(name: str) -> str:
    return name[:-1] if len(name) > 3 and name.endswith("s") and not name.endswith("ss") else f"{name}_item"

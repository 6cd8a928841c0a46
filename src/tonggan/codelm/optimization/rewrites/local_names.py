"""What a loop looks up by its dots in each turn is looked up once."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import bound_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced, statements

_METHODS = {"append", "add", "extend", "appendleft", "popleft"}


class LocalNames(Rewrite):
    """``math.sqrt`` and ``found.append`` in a loop become local names, where the loop binds nothing of them."""

    name = "local"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        loop = sites[start].tree
        if not isinstance(loop, ast.For | ast.While) or self._loops:
            return None
        bound = bound_in(loop)
        wanted: dict[str, ast.Attribute] = {}
        for call in (each for part in loop.body for each in ast.walk(part) if isinstance(each, ast.Call)):
            match call.func:
                case ast.Attribute(ast.Name(name), attr) if name not in bound and self._is_lookup(name, attr):
                    wanted[text(call.func)] = call.func
        if not wanted or not self.take():
            return None
        node, before = sites[start].node, []
        for source, attribute in wanted.items():
            owner = attribute.value
            assert isinstance(owner, ast.Name)
            name = self.fresh(f"{attribute.attr}_to_{owner.id}" if attribute.attr in _METHODS else attribute.attr)
            before += statements(f"{name} = {source}\n")
            node = replaced(node, source, name)
        return 1, [*before, node]

    def _is_lookup(self, name: str, attr: str) -> bool:
        is_local = name in bound_in(self.tree)
        return attr in _METHODS if is_local else name in ("math", "operator", "re", "itertools", "random")

"""What keeps the first of equal elements by looking through a list for each becomes a dictionary or a set."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import appended, names_in, starts_empty, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, statements


class Deduplication(Rewrite):
    """``if x not in r: r.append(x)`` in a loop over elements becomes ``dict.fromkeys``; they must be hashable."""

    name = "deduplication"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        name = starts_empty(sites[start].tree)
        if name is None or start + 1 >= len(sites):
            return None
        loop = sites[start + 1].tree
        match loop:
            case ast.For(
                target=target,
                iter=iterated,
                body=[ast.If(ast.Compare(element, [ast.NotIn()], [ast.Name(other)]), [keep], [])],
                orelse=[],
            ) if other == name:
                pass
            case _:
                return None
        found = appended(keep, name)
        if found is None or text(found[1]) != text(element) or name in names_in(iterated):
            return None
        if any(self.occurs_outside(each, [loop]) for each in names_in(target)) or not self.take():
            return None
        values = text(iterated)
        if text(element) != text(target):
            values = f"{text(element)} for {text(target)} in {values}"
        return 2, statements(f"{name} = list(dict.fromkeys({values}))\n")

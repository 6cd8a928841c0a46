"""Sorting by hand: the largest taken out again and again, or neighbors exchanged, is what ``sort`` does."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import appended, is_pure, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, statements


class Sorting(Rewrite):
    """A loop that moves the largest, or the smallest, of a list to the end of another until it is empty.

    Equal elements keep their order in both. What raises in the middle has moved nothing yet.
    """

    name = "sort"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        for find in (_moved, _exchanged):
            made = find(self, sites, start)
            if made is not None:
                return (made[0], statements(made[1])) if self.take() else None
        return None


def _moved(rewrite: Rewrite, sites: Sequence[Site], start: int) -> tuple[int, str] | None:
    """``while a: m = max(a); r.append(m); a.remove(m)``; also where ``m`` is first ``a[0]``."""
    match sites[start].tree:
        case ast.While(test, [ast.Assign([ast.Name(best)], value), *rest], []) as loop:
            pass
        case _:
            return None
    if len(rest) == 3 and isinstance(value, ast.Subscript) and text(value.slice) == "0":
        first, *rest = rest
        if not isinstance(first, ast.Assign) or text(first.targets[0]) != best:
            return None
        value = first.value
    match value:
        case ast.Call(ast.Name("max" | "min" as way), [ast.Name(values)], options):
            pass
        case _:
            return None
    if len(rest) != 2 or text(test) not in (values, f"len({values}) > 0", f"len({values}) != 0", f"{values} != []"):
        return None
    keep, remove = sorted(rest, key=lambda each: ".remove(" in text(each))
    found = appended(keep)
    if found is None or text(found[1]) != best or text(remove) != f"{values}.remove({best})" or found[0] == values:
        return None
    if rewrite.occurs_outside(best, [loop]) or any(each.arg != "key" for each in options):
        return None
    key = "".join(f", key={text(each.value)}" for each in options)
    order = ", reverse=True" if way == "max" else ""
    return 1, f"{found[0]}.extend(sorted({values}{key}{order}))\n{values}.clear()\n"


def _exchanged(rewrite: Rewrite, sites: Sequence[Site], start: int) -> tuple[int, str] | None:
    """Two loops that exchange neighbors which are in the wrong order: bubble sort, which keeps equal ones in order."""
    match sites[start].tree:
        case ast.For(ast.Name(outer), _, [ast.For(ast.Name(inner), _, [ast.If(test, [*swap], [])], [])], []) as loop:
            pass
        case _:
            return None
    if any(rewrite.occurs_outside(each, [loop]) for each in (outer, inner)) or not isinstance(test, ast.Compare):
        return None
    found = _swapped(swap)
    if found is None or len(test.ops) != 1 or not is_pure(test):
        return None
    values, places = found
    if places not in ({inner, f"{inner} + 1"}, {inner, f"{inner} - 1"}):
        return None
    first, second = sorted(places, key=lambda place: (place.endswith("+ 1"), not place.endswith("- 1")))
    left, right = text(test.left), text(test.comparators[0])
    sign = test.ops[0]
    here, there = f"{values}[{first}]", f"{values}[{second}]"
    if here in right and there in left:
        left, right = right, left
        sign = ast.Lt() if isinstance(sign, ast.Gt) else ast.Gt() if isinstance(sign, ast.Lt) else sign
    if (
        left.replace(here, "_") != right.replace(there, "_")
        or here not in left
        or not isinstance(sign, ast.Lt | ast.Gt)
    ):
        return None
    item = left.replace(here, "item")
    if inner in names_in(ast.parse(item)):
        return None
    options = [] if item == "item" else [f"key=lambda item: {item}"]
    options += ["reverse=True"] if isinstance(sign, ast.Lt) else []
    return 1, f"{values}.sort({', '.join(options)})\n"


def _swapped(body: list[ast.stmt]) -> tuple[str, set[str]] | None:
    """The list, and the two places in it that are exchanged."""
    match body:
        case [
            ast.Assign([ast.Tuple([ast.Subscript(ast.Name(values), one), ast.Subscript(ast.Name(same), other)])], value)
        ]:
            if values == same and text(value) == f"({values}[{text(other)}], {values}[{text(one)}])":
                return values, {text(one), text(other)}
        case [ast.Assign([ast.Name(kept)], ast.Subscript(ast.Name(values), one)), second, third]:
            for other in (each for each in ast.walk(second) if isinstance(each, ast.Subscript)):
                place = text(other.slice)
                if (
                    text(second) == f"{values}[{text(one)}] = {values}[{place}]"
                    and text(third) == f"{values}[{place}] = {kept}"
                ):
                    return values, {text(one), place}
    return None

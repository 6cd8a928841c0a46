"""Sorting by hand: the largest taken out again and again, or neighbors exchanged, is what ``sort`` does."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import appended, is_pure, length_of, names_in, text
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
    """Loops that exchange elements in the wrong order until there are none: neighbors, or each with all after it."""
    match sites[start].tree:
        case ast.For(
            ast.Name(outer), around, [ast.For(ast.Name(inner), over, [ast.If(test, [*swap], [])], [])], []
        ) as loop:
            return _sorted(rewrite, [loop], test, swap, (outer, around), (inner, over))
        case ast.Assign([ast.Name(flag)], ast.Constant(True)) as first if start + 1 < len(sites):
            match sites[start + 1].tree:
                case ast.While(
                    ast.Name(again),
                    [ast.Assign([ast.Name(off)], ast.Constant(False)),
                     ast.For(ast.Name(inner), over, [ast.If(test, [*swap], [])], [])],
                    [],
                ) as whole if flag == again == off and not rewrite.occurs_outside(flag, [first, whole]):  # fmt: skip
                    kept = [each for each in swap if text(each) != f"{flag} = True"]
                    made = _sorted(rewrite, [whole], test, kept, ("", None), (inner, over))
                    return None if made is None or len(kept) + 1 != len(swap) else (2, made[1])
    return None


def _sorted(
    rewrite: Rewrite, loops: list[ast.stmt], test: ast.expr, swap: list[ast.stmt],
    outer: tuple[str, ast.expr | None], inner: tuple[str, ast.expr],
) -> tuple[int, str] | None:  # fmt: skip
    """The call of ``sort`` that does what the loops do."""
    found = _swapped(swap)
    if found is None or not isinstance(test, ast.Compare) or len(test.ops) != 1 or not is_pure(test):
        return None
    values, places = found
    for name, over in (outer, inner):
        if rewrite.occurs_outside(name, loops) or not _is_whole(rewrite, over, values, outer[0]):
            return None
    here = inner[0] if places in ({inner[0], f"{inner[0]} + 1"}, {inner[0], f"{inner[0]} - 1"}) else outer[0]
    if here == outer[0] and places != {outer[0], inner[0]}:
        return None
    first = f"{here} - 1" if f"{here} - 1" in places else here
    (second,) = places - {first}
    left, right, sign = text(test.left), text(test.comparators[0]), test.ops[0]
    if f"{values}[{second}]" in left:
        left, right = right, left
        sign = ast.Lt() if isinstance(sign, ast.Gt) else ast.Gt() if isinstance(sign, ast.Lt) else sign
    item = left.replace(f"{values}[{first}]", "item")
    if item != right.replace(f"{values}[{second}]", "item") or "item" not in item:
        return None
    if not isinstance(sign, ast.Lt | ast.Gt) or {outer[0], inner[0]} & set(names_in(ast.parse(item))):
        return None
    options = [] if item == "item" else [f"key=lambda item: {item}"]
    options += ["reverse=True"] if isinstance(sign, ast.Lt) else []
    return 1, f"{values}.sort({', '.join(options)})\n"


def _is_whole(rewrite: Rewrite, over: ast.expr | None, values: str, outer: str) -> bool:
    """Whether a range is bounded by nothing but the length of the list, and the position of the loop around."""
    if over is None:
        return True
    lengths = {name for name in names_in(over) if length_of(name, rewrite.tree) == values}
    return set(names_in(over)) <= {"range", "len", values, outer, *lengths}


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

"""Loops that do by hand what a builtin does: the largest, the sum, how many, whether there is one, all of a list."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import appended, is_pure, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, statements


class BuiltinLoops(Rewrite):
    """``max`` and ``min`` with their keys, ``sum``, ``count``, ``in`` and ``extend`` in place of a loop.

    A sum of floats is exact in another way from Python 3.12 on; the comparison finds it.
    """

    name = "builtin"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        for find in (_found_later, _farthest, _largest, _summed, _counted, _extended):
            made = find(self, sites, start)
            if made is not None:
                num, source = made
                return (num, statements(source)) if self.take() else None
        return None


_Found = tuple[int, str] | None


def _found_later(_rewrite: Rewrite, sites: Sequence[Site], start: int) -> _Found:
    """``for y in a: if y == x: return True`` and ``return False``."""
    if start + 1 >= len(sites):
        return None
    match sites[start].tree, sites[start + 1].tree:
        case (
            ast.For(
                ast.Name(item),
                iterated,
                [ast.If(ast.Compare(left, [ast.Eq()], [right]), [ast.Return(ast.Constant(bool(yes)))], [])],
                [],
            ),
            ast.Return(ast.Constant(bool(no))),
        ) if yes is not no:
            value = _other(left, right, item)
            if value is not None:
                return 2, f"return {text(value)} {'in' if yes else 'not in'} {text(iterated)}\n"
    return None


def _other(left: ast.expr, right: ast.expr, item: str) -> ast.expr | None:
    """What an element is compared with."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, ast.Name) and one.id == item and item not in names_in(other) and is_pure(other):
            return other
    return None


def _largest(rewrite: Rewrite, sites: Sequence[Site], start: int) -> _Found:
    """``m = a[0]`` and ``for x in a: if x > m: m = x``, also with the same key of both; an empty list still raises."""
    if start + 1 >= len(sites):
        return None
    match sites[start].tree:
        case ast.Assign([ast.Name(best)], first) if is_pure(first):
            pass
        case _:
            return None
    match sites[start + 1].tree:
        case ast.For(ast.Name(item), over, [ast.If(ast.Compare(left, [sign], [right]), [keep], [])], []):
            pass
        case _:
            return None
    if text(keep) != f"{best} = {item}" or not is_pure(over) or best in names_in(over):
        return None
    one, other = text(_named(left, item)), text(_named(right, best))
    if one != other:
        one, other, sign = text(_named(right, item)), text(_named(left, best)), _turned(sign)
    if one != other or "_" not in one or not isinstance(sign, ast.Gt | ast.Lt) or not is_pure(left):
        return None
    if rewrite.occurs_outside(item, [sites[start + 1].tree]):
        return None
    function = "max" if isinstance(sign, ast.Gt) else "min"
    key = "" if one == "_" else f", key=lambda {item}: {text(_renamed(left, right, item))}"
    values = text(over).removesuffix("[1:]")
    if text(first) == f"{values}[0]":
        return 2, f"{text(sites[start].tree)}\n{best} = {function}({values}{key})\n"
    return 2, f"{best} = {function}([{text(first)}, *{text(over)}]{key})\n"


def _farthest(rewrite: Rewrite, sites: Sequence[Site], start: int) -> _Found:
    """``m = i`` and ``for j in range(i + 1, n): if a[j] > a[m]: m = j``: where the largest is."""
    if start + 1 >= len(sites):
        return None
    match sites[start].tree, sites[start + 1].tree:
        case (
            ast.Assign([ast.Name(best)], first),
            ast.For(
                ast.Name(index), ast.Call(ast.Name("range"), [*limits], []),
                [ast.If(ast.Compare(left, [sign], [right]), [keep], [])], [],
            ) as loop,
        ) if is_pure(first) and len(limits) in (1, 2):  # fmt: skip
            pass
        case _:
            return None
    begin = text(limits[0]) if len(limits) == 2 else "0"
    begins = (text(first), f"{text(first)} + 1")
    if text(keep) != f"{best} = {index}" or not (begin in begins or _is_next(first, begin)):
        return None
    one, other = text(_named(left, index)), text(_named(right, best))
    if one != other:
        one, other, sign = text(_named(right, index)), text(_named(left, best)), _turned(sign)
    if one != other or "_" not in one or not isinstance(sign, ast.Gt | ast.Lt) or not is_pure(left):
        return None
    if rewrite.occurs_outside(index, [loop]):
        return None
    key = text(_renamed(left, right, index))
    values = key.removesuffix(f"[{index}]")
    called = f"{values}.__getitem__" if values.isidentifier() and values != key else f"lambda {index}: {key}"
    function = "max" if isinstance(sign, ast.Gt) else "min"
    return 2, f"{best} = {function}(range({text(first)}, {text(limits[-1])}), key={called})\n"


def _is_next(first: ast.expr, begin: str) -> bool:
    return isinstance(first, ast.Constant) and type(first.value) is int and begin == str(first.value + 1)


def _renamed(left: ast.expr, right: ast.expr, item: str) -> ast.expr:
    return left if item in names_in(left) else right


def _turned(sign: ast.cmpop) -> ast.cmpop:
    return ast.Lt() if isinstance(sign, ast.Gt) else ast.Gt() if isinstance(sign, ast.Lt) else sign


def _named(node: ast.expr, name: str) -> ast.expr:
    """``node`` with ``_`` for ``name``."""

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name("_", ast.Load()) if node.id == name else node

    copied = ast.parse(text(node), mode="eval").body
    made = Rename().visit(copied)
    assert isinstance(made, ast.expr)
    return made


def _summed(rewrite: Rewrite, sites: Sequence[Site], start: int) -> _Found:
    """``t = 0`` and ``for x in a: t += x``."""
    if start + 1 >= len(sites):
        return None
    match sites[start].tree, sites[start + 1].tree:
        case (
            ast.Assign([ast.Name(total)], ast.Constant(0) as zero),
            ast.For(ast.Name(item), iterated, [add], []) as loop,
        ) if type(zero.value) is int and total not in names_in(iterated):
            forms = (f"{total} += {item}", f"{total} = {total} + {item}", f"{total} = {item} + {total}")
            if text(add) in forms and not rewrite.occurs_outside(item, [loop]):
                return 2, f"{total} = sum({text(iterated)})\n"
    return None


def _counted(rewrite: Rewrite, sites: Sequence[Site], start: int) -> _Found:
    """``n = 0`` and ``for y in a: if y == x: n += 1``."""
    if start + 1 >= len(sites):
        return None
    match sites[start].tree, sites[start + 1].tree:
        case (
            ast.Assign([ast.Name(total)], ast.Constant(0) as zero),
            ast.For(
                ast.Name(item), ast.Name(values), [ast.If(ast.Compare(left, [ast.Eq()], [right]), [add], [])], []
            ) as loop,
        ) if type(zero.value) is int:
            value = _other(left, right, item)
            if value is None or text(add) not in (f"{total} += 1", f"{total} = {total} + 1"):
                return None
            if rewrite.occurs_outside(item, [loop]) or total in names_in(value):
                return None
            return 2, f"{total} = {values}.count({text(value)})\n"
    return None


def _extended(rewrite: Rewrite, sites: Sequence[Site], start: int) -> _Found:
    """``for x in a: b.append(x)``."""
    match sites[start].tree:
        case ast.For(ast.Name(item), iterated, [add], []) as loop:
            found = appended(add)
            if found is None or text(found[1]) != item or rewrite.occurs_outside(item, [loop]):
                return None
            if found[0] not in names_in(iterated):
                return 1, f"{found[0]}.extend({text(iterated)})\n"
    return None

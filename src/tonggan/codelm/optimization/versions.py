"""Rewritten versions of a function: each family alone, at all of its sites or at one, and families together."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import libcst as cst

from tonggan.codelm.optimization.facts import has, names_in
from tonggan.codelm.optimization.rewrites import REWRITES
from tonggan.codelm.optimization.rewriting import Context, Rewrite, code_of, tree_of
from tonggan.codelm.optimization.targets import Function, Module

# What a function that takes its time has; calling itself, or sorting, is the other way.
_REPEATING = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.AsyncFor, ast.Lambda)
_MOST_SITES = 4  # that are also tried one by one
_MOST_COMBINED = 4  # families
_MOST_CANDIDATES = 60


@dataclass(frozen=True)
class Candidate:
    """A rewritten function.

    Attributes:
        parts: families, each with the number of the site behind ``#`` where it is not applied to all.
        node: the function.
        imports: lines that it needs at the top of the file.
    """

    parts: tuple[str, ...]
    node: cst.FunctionDef
    imports: tuple[str, ...]

    @property
    def source(self) -> str:
        """Of the function alone, not indented."""
        return code_of(self.node.with_changes(leading_lines=[]))


def candidates_of(function: Function) -> list[Candidate]:
    """All candidates for ``function``, single families first; none where no family fits.

    Families are combined in their order, also those that fit only once others have been applied.
    """
    tree = tree_of(function.node)
    if not has(tree, *_REPEATING) and names_in(tree)[function.node.name.value] < 2 and "sorted" not in names_in(tree):
        return []
    context = Context(taken=function.module.names)
    made: dict[str, Candidate] = {}
    level = [Candidate((), function.node, ())]
    for _ in range(_MOST_COMBINED):
        level = [more for each in level for more in _extended(each, context) if more.source not in made]
        level = list({each.source: each for each in reversed(level)}.values())[::-1][: _MOST_CANDIDATES - len(made)]
        made |= {each.source: each for each in level}
    return list(made.values())


def _extended(candidate: Candidate, context: Context) -> Iterator[Candidate]:
    """``candidate`` with one more family, which stands after those that it has; a single one also site by site."""
    names = [family.name for family in REWRITES]
    if candidate.parts and candidate.parts[-1] not in names:
        return
    after = names.index(candidate.parts[-1]) + 1 if candidate.parts else 0
    for family in REWRITES[after:]:
        found = _applied(candidate.node, family, context, None)
        if found is None:
            continue
        yield _with(candidate, family.name, found)
        if not candidate.parts and 1 < found[1] <= _MOST_SITES:
            for site in range(found[1]):
                one = _applied(candidate.node, family, context, site)
                if one is not None:
                    yield _with(candidate, f"{family.name}#{site + 1}", one)


def _with(candidate: Candidate, part: str, found: tuple[cst.FunctionDef, int, list[str]]) -> Candidate:
    return Candidate((*candidate.parts, part), found[0], tuple(dict.fromkeys((*candidate.imports, *found[2]))))


def _applied(
    node: cst.FunctionDef, family: type[Rewrite], context: Context, only: int | None
) -> tuple[cst.FunctionDef, int, list[str]] | None:
    try:
        rewrite = family(node, context, only)
        made = rewrite.changed()
    except RecursionError:
        return None
    return None if made is None else (made, rewrite.num_sites, rewrite.imports)


class _Exchange(cst.CSTTransformer):
    def __init__(self, nodes: dict[int, cst.FunctionDef]) -> None:
        super().__init__()
        self._nodes = nodes

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:  # noqa: N802
        return self._nodes.get(id(original_node), updated_node)


def module_with(module: Module, chosen: Sequence[tuple[Function, Candidate]]) -> bytes:
    """The file with the candidates in place of their functions, and with the imports that they need."""
    tree = module.tree.visit(_Exchange({id(function.node): candidate.node for function, candidate in chosen}))
    lines = dict.fromkeys(line for _, candidate in chosen for line in candidate.imports)
    source = {code_of(part).strip() for part in tree.body}
    return _with_imports(tree, [line for line in lines if line not in source]).bytes


def _with_imports(tree: cst.Module, lines: Sequence[str]) -> cst.Module:
    """Imports stand after the last import at the top of the file, or after its docstring."""
    if not lines:
        return tree
    place = 0
    for index, part in enumerate(tree.body):
        if isinstance(part, cst.SimpleStatementLine) and isinstance(part.body[0], cst.Import | cst.ImportFrom):
            place = index + 1
        elif index == 0 and isinstance(part, cst.SimpleStatementLine) and isinstance(part.body[0], cst.Expr):
            place = 1
        elif not isinstance(part, cst.SimpleStatementLine):
            break
    new = [cst.parse_statement(line) for line in lines]
    return tree.with_changes(body=[*tree.body[:place], *new, *tree.body[place:]])

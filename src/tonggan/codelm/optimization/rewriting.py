"""What rewrites have in common: blocks of statements seen as ``ast``, changed as libcst, one site or all.

A rewrite matches statements by their ``ast``, whose patterns are short, and replaces those that it changes in the
concrete tree, so that comments and layout of all others stay.
"""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import libcst as cst
from libcst import matchers

from tonggan.codelm.optimization.facts import is_unchanged, names_in, trim

# Nodes below which there are blocks; nothing else is gone through, which saves most of the time.
_WITH_BLOCKS = (
    cst.BaseCompoundStatement, cst.IndentedBlock, cst.Else, cst.ExceptHandler, cst.ExceptStarHandler, cst.Finally,
    cst.MatchCase,
)  # fmt: skip


@dataclass
class Site:
    """A statement.

    Attributes:
        node: in the concrete tree.
        tree: the same as ``ast``.
    """

    node: cst.BaseStatement
    tree: ast.stmt


def next_use(sites: Sequence[Site], start: int, name: str) -> int | None:
    """The place of the first statement behind ``start`` that has ``name`` in it; None where none does."""
    return next((place for place in range(start + 1, len(sites)) if name in names_in(sites[place].tree)), None)


@dataclass(frozen=True)
class Context:
    """What a rewrite knows of the surroundings.

    Attributes:
        taken: names that the module binds or reads, besides the function's own.
    """

    taken: frozenset[str]


@dataclass
class Rewrite(cst.CSTTransformer):
    """Base of the families: changes a function at all sites that fit, or at one of them.

    Attributes:
        name: of the family.
        only: the number of the one site to change.
        num_sites: that have fitted.
        imports: that the changed function needs.
    """

    name: ClassVar[str]
    function: cst.FunctionDef
    context: Context
    only: int | None = None
    num_sites: int = 0
    imports: list[str] = field(default_factory=list)
    tree: ast.FunctionDef | ast.AsyncFunctionDef = field(init=False)

    def __post_init__(self) -> None:
        super().__init__()
        tree = ast.parse(code_of(self.function)).body[0]
        assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
        self.tree = tree
        self._taken = set(names_in(tree)) | self.context.taken
        self._loops: list[ast.stmt] = []

    def changed(self) -> cst.FunctionDef | None:
        """The function as rewritten; None where no site fits."""
        made = self.function.visit(self)
        assert isinstance(made, cst.FunctionDef)
        if self.num_sites:
            made = made.visit(_Quotes(self.function))
            assert isinstance(made, cst.FunctionDef)
        return None if made.deep_equals(self.function) else made

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.For | cst.While):
            self._loops.append(tree_of(node))
        return isinstance(node, _WITH_BLOCKS)

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> cst.CSTNode:  # type: ignore[override]
        if isinstance(original_node, cst.For | cst.While):
            self._loops.pop()
        made = super().on_leave(original_node, updated_node)
        assert isinstance(made, cst.CSTNode)
        return made

    def can_wait(self, names: Iterable[str]) -> bool:
        """Whether what is made of ``names`` is the same in each turn of a loop around: better made before that one."""
        return any(all(is_unchanged(name, [loop]) for name in names) for loop in self._loops)

    def leave_IndentedBlock(  # noqa: N802
        self,
        original_node: cst.IndentedBlock,
        updated_node: cst.IndentedBlock,
    ) -> cst.BaseSuite:
        sites = [Site(node, tree_of(node)) for node in updated_node.body]
        found = self.block(sites)
        return updated_node if found is None else updated_node.with_changes(body=found)

    def block(self, sites: list[Site]) -> list[cst.BaseStatement] | None:
        """The statements that take the place of those of one block; None where they stay."""
        for start in range(len(sites)):
            found = self.match(sites, start)
            if found is not None:
                num, made = found
                made = _commented(made, [site.node for site in sites[start : start + num]])
                rest = self.block(sites[start + num :])
                tail = [site.node for site in sites[start + num :]] if rest is None else rest
                return [*(site.node for site in sites[:start]), *made, *tail]
        return None

    @abstractmethod
    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        """How many statements from ``start`` on are replaced, and by what; None where the family does not fit there."""

    def take(self) -> bool:
        """Whether the site that has just been found is to be changed."""
        self.num_sites += 1
        return self.only is None or self.only == self.num_sites - 1

    def fresh(self, wish: str) -> str:
        """A name like ``wish`` that nothing has."""
        name, number = wish, 2
        while name in self._taken:
            name, number = f"{wish}_{number}", number + 1
        self._taken.add(name)
        return name

    def need(self, module: str, name: str) -> str:
        """The expression for ``name`` of ``module``, which is imported at the top of the file."""
        line = f"from {module} import {name}"
        if line not in self.imports and (name in names_in(self.tree) or name in self.context.taken):
            self.imports.append(f"import {module}")
            return f"{module}.{name}"
        self.imports.append(line)
        return name

    def occurs_outside(self, name: str, nodes: Iterable[ast.AST]) -> bool:
        """Whether the function has ``name`` anywhere but in ``nodes``."""
        return names_in(self.tree)[name] > sum(names_in(node)[name] for node in nodes)


def _commented(made: list[cst.BaseStatement], before: Sequence[cst.BaseStatement]) -> list[cst.BaseStatement]:
    """``made`` with the empty lines and comments above the statements that it takes the place of."""
    kept = {id(node) for node in made}
    lines = list(getattr(before[0], "leading_lines", ()))
    for node in before[1:]:
        if id(node) not in kept:
            lines += [line for line in getattr(node, "leading_lines", ()) if line.comment is not None]
    if made and id(made[0]) in {id(node) for node in before[1:]}:
        lines += getattr(made[0], "leading_lines", ())
    above = _shown(before[0])
    rest = [node.with_changes(leading_lines=[]) if above and _shown(node) == above else node for node in made[1:]]
    return [*(node.with_changes(leading_lines=lines) for node in made[:1]), *rest]


def _shown(node: cst.BaseStatement) -> str:
    """The lines above a statement."""
    return "".join(code_of(line) for line in getattr(node, "leading_lines", ()))


class _Quotes(cst.CSTTransformer):
    """Gives new texts the quotes that the function has."""

    def __init__(self, function: cst.FunctionDef) -> None:
        super().__init__()
        self._known = {code_of(each) for each in matchers.findall(function, matchers.SimpleString())}
        self._double = sum(each.endswith('"') for each in self._known) >= len(self._known) / 2

    def leave_SimpleString(  # noqa: N802
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        value = updated_node.value
        if value in self._known or not self._double or value[0] != "'" or '"' in value or "\\" in value:
            return updated_node
        return updated_node.with_changes(value=f'"{value[1:-1]}"')


_EMPTY = cst.Module(body=[])


def code_of(node: cst.CSTNode) -> str:
    """Source of a node, not indented."""
    return _EMPTY.code_for_node(node)


def tree_of(node: cst.BaseStatement) -> ast.stmt:
    """A statement as ``ast``; several in one line, or none, are a ``pass``, which no pattern fits.

    Branches that do nothing at the end of a loop are left out, so that patterns need not know them.
    """
    body = _parsed(code_of(node)).body
    return body[0] if len(body) == 1 else ast.Pass()


@lru_cache(maxsize=4096)
def _parsed(source: str) -> ast.Module:
    """The same statement is looked at by each family, and nobody changes what is parsed."""
    tree = ast.parse(source)
    for each in ast.walk(tree):
        if isinstance(each, ast.For | ast.While):
            trim(each.body, (ast.Pass, ast.Continue))
        elif isinstance(each, ast.FunctionDef):
            trim(each.body, (ast.Pass,))
    return tree


def statements(source: str) -> list[cst.BaseStatement]:
    """Statements of the concrete tree."""
    return [part for part in cst.parse_module(source).body if isinstance(part, cst.BaseStatement)]


class _Replace(cst.CSTTransformer):
    def __init__(self, source: str, new: str) -> None:
        super().__init__()
        self._old, self._new = ast.dump(ast.parse(source, mode="eval")), cst.parse_expression(new)

    def on_leave(  # type: ignore[override]
        self,
        original_node: cst.CSTNode,
        updated_node: cst.CSTNode,
    ) -> cst.CSTNode:
        if isinstance(updated_node, cst.BaseExpression) and not isinstance(updated_node, cst.BaseString):
            try:
                found = ast.dump(ast.parse(code_of(updated_node), mode="eval"))
            except SyntaxError:
                return updated_node
            if found == self._old:
                return self._new
        return updated_node


def replaced(node: cst.BaseStatement, source: str, new: str) -> cst.BaseStatement:
    """``node`` with the expression ``new`` in every place where it has the expression ``source``."""
    made = node.visit(_Replace(source, new))
    assert isinstance(made, cst.BaseStatement)
    return made


class _ReplaceStatements(cst.CSTTransformer):
    def __init__(self, change: Callable[[ast.AST], str | None]) -> None:
        super().__init__()
        self._change = change

    def leave_SimpleStatementLine(  # noqa: N802
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement]:
        source = self._change(tree_of(updated_node))
        if source is None:
            return updated_node
        first, *more = statements(source + "\n")
        assert isinstance(first, cst.SimpleStatementLine)
        kept = first.with_changes(
            leading_lines=updated_node.leading_lines, trailing_whitespace=updated_node.trailing_whitespace
        )
        return cst.FlattenSentinel([kept, *more])


def replaced_statements(node: cst.BaseStatement, change: Callable[[ast.AST], str | None]) -> cst.BaseStatement:
    """``node`` with other simple statements in it where ``change`` gives their source."""
    made = node.visit(_ReplaceStatements(change))
    assert isinstance(made, cst.BaseStatement)
    return made

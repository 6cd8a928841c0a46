"""What rewrites have in common: blocks of statements seen as ``ast``, changed as libcst, one site or all.

A rewrite matches statements by their ``ast``, whose patterns are short, and replaces those that it changes in the
concrete tree, so that comments and layout of all others stay.
"""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import libcst as cst

PURE_CALLS = frozenset({
    "abs", "all", "any", "bool", "chr", "dict", "divmod", "enumerate", "float", "frozenset", "hash", "int",
    "isinstance", "len", "list", "max", "min", "ord", "pow", "range", "repr", "reversed", "round", "set", "sorted",
    "str", "sum", "tuple", "type", "zip",
})  # fmt: skip
"""Builtins that change none of their arguments, but for iterators."""
PURE_METHODS = frozenset({
    "bit_length", "casefold", "copy", "count", "endswith", "find", "format", "get", "index", "isalnum", "isalpha",
    "isdigit", "islower", "isspace", "isupper", "items", "join", "keys", "lower", "lstrip", "replace", "rfind",
    "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper", "values", "zfill",
})  # fmt: skip
"""Methods of builtin types that change nothing."""


@dataclass
class Site:
    """A statement.

    Attributes:
        node: in the concrete tree.
        tree: the same as ``ast``.
    """

    node: cst.BaseStatement
    tree: ast.stmt


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
        return None if made.deep_equals(self.function) else made

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.For | cst.While):
            self._loops.append(tree_of(node))
        return super().on_visit(node)

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
                made = [*([made[0].with_changes(leading_lines=_lines(sites[start].node))] if made else []), *made[1:]]
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


def _lines(node: cst.BaseStatement) -> Sequence[cst.EmptyLine]:
    return getattr(node, "leading_lines", ())


_EMPTY = cst.Module(body=[])


def code_of(node: cst.CSTNode) -> str:
    """Source of a node, not indented."""
    return _EMPTY.code_for_node(node)


def tree_of(node: cst.BaseStatement) -> ast.stmt:
    """A statement as ``ast``; several in one line, or none, are a ``pass``, which no pattern fits."""
    body = ast.parse(code_of(node)).body
    return body[0] if len(body) == 1 else ast.Pass()


def statements(source: str) -> list[cst.BaseStatement]:
    """Statements of the concrete tree."""
    return [part for part in cst.parse_module(source).body if isinstance(part, cst.BaseStatement)]


def names_in(node: ast.AST) -> Counter[str]:
    """How often each name is read or bound in ``node``."""
    found: Counter[str] = Counter()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found[each.id] += 1
        else:
            found.update(_bound_by(each))
    return found


def bound_in(*nodes: ast.AST) -> set[str]:
    """Names that ``nodes`` bind anew."""
    found: set[str] = set()
    for each in (each for node in nodes for each in ast.walk(node)):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            found.add(each.id)
        else:
            found.update(_bound_by(each))
    return found


def _bound_by(node: ast.AST) -> list[str]:
    """Names that a node binds, other than by an ``ast.Name``."""
    match node:
        case ast.arg(arg=name):
            return [name]
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return names
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)):
            return [name]
        case ast.alias(name=name, asname=other):
            return [(other or name).partition(".")[0]]
    return []


def is_unchanged(name: str, nodes: Iterable[ast.AST]) -> bool:
    """Whether nothing in ``nodes`` binds ``name`` or could change what it holds, short of other names for it."""
    return all(_keeps(name, node) for node in nodes)


def _keeps(name: str, node: ast.AST) -> bool:
    parents = {child: parent for parent in ast.walk(node) for child in ast.iter_child_nodes(parent)}
    if name in bound_in(node):
        return False
    return all(
        _is_read(each, parents)
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and each.id == name and each in parents
    )


def _is_read(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether the place of a name only reads what it holds."""
    match parents[node]:
        case ast.Subscript(value=value, ctx=ctx) if value is node:
            return isinstance(ctx, ast.Load)
        case ast.Subscript() | ast.Compare() | ast.BoolOp() | ast.UnaryOp() | ast.BinOp() | ast.Slice() | ast.Index():
            return True
        case ast.Attribute(attr=attr) as attribute:
            call = parents.get(attribute)
            return isinstance(call, ast.Call) and call.func is attribute and attr in PURE_METHODS
        case ast.Call(func=ast.Name(id=called)):
            return called in PURE_CALLS
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join")):
            return True
        case ast.For(iter=iterated) | ast.comprehension(iter=iterated) if iterated is node:
            return True
        case ast.If() | ast.While() | ast.IfExp(test=_) | ast.comprehension():
            return True
    return False


def is_pure(node: ast.expr) -> bool:
    """Whether an expression reads names and calls what changes nothing: it can be moved, or left out."""
    for each in ast.walk(node):
        match each:
            case ast.Call(func=ast.Name(id=name)) if name in PURE_CALLS:
                continue
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in PURE_METHODS:
                continue
            case ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom() | ast.NamedExpr() | ast.Lambda():
                return False
    return True


def appended(statement: ast.stmt, to: str | None = None) -> tuple[str, ast.expr] | None:
    """The list and the element where ``statement`` appends one: ``a.append(x)``, ``a += [x]`` or ``a = a + [x]``."""
    match statement:
        case ast.Expr(ast.Call(func=ast.Attribute(ast.Name(name), "append"), args=[element], keywords=[])):
            pass
        case ast.AugAssign(target=ast.Name(name), op=ast.Add(), value=ast.List([element])):
            pass
        case ast.Assign([ast.Name(name)], ast.BinOp(ast.Name(other), ast.Add(), ast.List([element]))) if other == name:
            pass
        case _:
            return None
    if isinstance(element, ast.Starred) or name in names_in(element) or to not in (None, name):
        return None
    return name, element


def starts_empty(statement: ast.stmt, kind: type[ast.List | ast.Tuple] = ast.List) -> str | None:
    """The name that ``statement`` binds to a new empty list, or tuple."""
    match statement:
        case ast.Assign([ast.Name(name)], ast.List([]) | ast.Tuple([]) as value) if isinstance(value, kind):
            return name
        case ast.Assign([ast.Name(name)], ast.Call(ast.Name("list"), [], [])) if kind is ast.List:
            return name
    return None


def has(node: ast.AST | Iterable[ast.AST], *kinds: type[ast.AST]) -> bool:
    """Whether there is a node of one of ``kinds`` in ``node``."""
    nodes = [node] if isinstance(node, ast.AST) else node
    return any(isinstance(each, kinds) for one in nodes for each in ast.walk(one))


def text(node: ast.AST) -> str:
    """Source of a node of ``ast``."""
    return ast.unparse(node)


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

"""What statements read, bind and change, as far as their ``ast`` shows it: what the rewrites match on."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable

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
        case ast.If() | ast.While() | ast.IfExp(test=_) | ast.comprehension() | ast.Return():
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


def changes_all(loop: ast.stmt, name: str, fits: Callable[[ast.AST], object]) -> bool:
    """Whether ``loop`` has ``name`` only in statements that fit, and has one; no other function runs them."""
    fitting = [each for each in ast.walk(loop) if isinstance(each, ast.stmt) and fits(each) not in (None, False)]
    if has(loop, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef) or not fitting:
        return False
    return names_in(loop)[name] == sum(names_in(each)[name] for each in fitting)


def repeated(statement: ast.stmt) -> list[ast.AST]:
    """What a statement computes once for each element: bodies of loops, and of comprehensions."""
    if isinstance(statement, ast.For | ast.While):
        parts: list[ast.AST] = [*statement.body]
        return [*parts, statement.test] if isinstance(statement, ast.While) else parts
    if not isinstance(statement, ast.Assign | ast.AugAssign | ast.Return | ast.Expr):
        return []
    found: list[ast.AST] = []
    for each in ast.walk(statement):
        if isinstance(each, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            found += [clause for generator in each.generators for clause in generator.ifs]
            found += [each.key, each.value] if isinstance(each, ast.DictComp) else [each.elt]
    return found


def trim(body: list[ast.stmt], nothing: tuple[type[ast.stmt], ...]) -> None:
    """Leave out what does nothing at the end of ``body``; ``if a: pass`` with an ``else`` becomes ``if not a``."""
    while len(body) > 1 and isinstance(body[-1], nothing):
        body.pop()
    last = body[-1]
    if not isinstance(last, ast.If):
        return
    trim(last.body, nothing)
    if last.orelse:
        trim(last.orelse, nothing)
    if all(isinstance(each, nothing) for each in last.orelse):
        last.orelse = []
    elif all(isinstance(each, nothing) for each in last.body):
        last.test, last.body, last.orelse = _opposite(last.test), last.orelse, []


def _opposite(test: ast.expr) -> ast.expr:
    match test:
        case ast.Compare(left, [ast.In()], right):
            return ast.Compare(left, [ast.NotIn()], right)
        case ast.Compare(left, [ast.NotIn()], right):
            return ast.Compare(left, [ast.In()], right)
        case ast.Compare(left, [ast.Eq()], right):
            return ast.Compare(left, [ast.NotEq()], right)
        case ast.Compare(left, [ast.NotEq()], right):
            return ast.Compare(left, [ast.Eq()], right)
        case ast.UnaryOp(ast.Not(), inner):
            return inner
    return ast.UnaryOp(ast.Not(), test)


def length_of(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """The list whose length ``name`` is throughout ``function``."""
    found = [each for each in ast.walk(function) if isinstance(each, ast.stmt) and name in bound_in(each)]
    inner = [each for each in found if isinstance(each, ast.Assign)]
    match inner:
        case [ast.Assign([ast.Name(_)], ast.Call(ast.Name("len"), [ast.Name(values)], []))]:
            arguments = {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}
            others = [each for each in found if not isinstance(each, _WITH_BODIES | ast.Assign)]
            if not others and name not in arguments and keeps_length(values, function.body):
                return values
    return None


_WITH_BODIES = ast.FunctionDef | ast.AsyncFunctionDef | ast.For | ast.While | ast.If | ast.With | ast.Try


def keeps_length(name: str, nodes: Iterable[ast.AST]) -> bool:
    """Whether nothing in ``nodes`` makes a list longer or shorter, short of other names for it."""

    class WithoutStores(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            is_store = isinstance(node.ctx, ast.Store) and not isinstance(node.slice, ast.Slice)
            if is_store and isinstance(node.value, ast.Name) and node.value.id == name:
                return ast.Name("_", ast.Store())
            return self.generic_visit(node)

    return all(is_unchanged(name, [WithoutStores().visit(ast.parse(ast.unparse(node)))]) for node in nodes)

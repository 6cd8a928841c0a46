"""Which writes of a local name may reach each of its reads, over branches and loops of one function.

And what that says of another name in its place: a wrong name leaves one behind that is not read.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tonggan.codelm.review.module import children

_WRITTEN = ("alone", "shared", "unwritten")
_READ = ("unread", "once", "often")
_ASKED = ("", ", this asked", ", other asked")

NAME_LABELS = tuple(f"{here}, other {there}{asked}" for here in _WRITTEN for there in _READ for asked in _ASKED)
"""How a name is used, and how the one that may stand in its place is."""
ATTRIBUTE_LABELS = tuple(f"attribute{asked}" for asked in _ASKED)
"""Whether the place asks for an attribute."""

SWAP_LABELS = tuple(f"swapped{asked}" for asked in _ASKED)
"""Whether the parameters of a call ask for its arguments as they are, or in the other order."""

Parameters = Mapping[str, tuple[str, ...] | None]
"""Of functions by their names, the names of positional parameters; None where two of one name differ."""

Writes = dict[str, frozenset[ast.AST]]
"""The last writes of each name, by the node that writes."""


class DataFlow:
    """Reaching definitions (Kildall 1973) of one function, names by their spelling.

    A loop's body is read twice, so that what one turn writes reaches the next; what follows a return, raise, break or
    continue in its block is reached by nothing. Bodies of inner functions see what was written before them.

    Args:
        function: the tree of a function.

    Attributes:
        reaching: for each read and each write of a name, the writes that may come last before it.
        computed_from: for each write of a name, the reads in the expression whose value it is given.
    """

    def __init__(self, function: ast.AST) -> None:
        self.reaching: dict[ast.AST, frozenset[ast.AST]] = {}
        self.computed_from: dict[ast.AST, list[ast.AST]] = {}
        self._reads: list[ast.AST] = []
        self._function(function, {})

    def _function(self, function: ast.AST, writes: Writes) -> None:
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda), "a function"
        arguments = function.args
        defaults = [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]
        self._expressions(defaults, writes)
        inner = dict(writes)
        for argument in all_arguments(arguments):
            inner[argument.arg] = frozenset([argument])
        if isinstance(function, ast.Lambda):
            self._expressions([function.body], inner)
        else:
            self._block(function.body, inner)

    def _block(self, statements: Iterable[ast.stmt], writes: Writes | None) -> Writes | None:
        """The writes after the statements; None where their end is never reached."""
        for statement in statements:
            if writes is None:  # dead code is read as if it were reached, with nothing written
                writes = {}
                self._statement(statement, writes)
                writes = None
            else:
                writes = self._statement(statement, writes)
        return writes

    def _statement(self, node: ast.stmt, writes: Writes) -> Writes | None:
        match node:
            case ast.If():
                self._expressions([node.test], writes)
                return _merged(self._block(node.body, dict(writes)), self._block(node.orelse, dict(writes)))
            case ast.For() | ast.AsyncFor():
                self._expressions([node.iter], writes)
                return self._loop(node, writes)
            case ast.While():
                return self._loop(node, writes)
            case ast.Try() | ast.TryStar():
                return self._try(node, writes)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._bind([item.optional_vars] if item.optional_vars else [], [item.context_expr], writes)
                return self._block(node.body, writes)
            case ast.Match():
                self._expressions([node.subject], writes)
                after: Writes | None = dict(writes)
                for case in node.cases:
                    inner = dict(writes)
                    self._expressions([case.pattern, *([case.guard] if case.guard else [])], inner)
                    after = _merged(after, self._block(case.body, inner))
                return after
            case ast.Return() | ast.Raise():
                self._expressions([node], writes)
                return None
            case ast.Break() | ast.Continue():
                return None
            case _:
                self._simple(node, writes)
        return writes

    def _simple(self, node: ast.stmt, writes: Writes) -> None:
        """A statement behind which the next one always comes."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._expressions(node.decorator_list, writes)
                writes[node.name] = frozenset([node])
                self._function(node, writes)
            case ast.ClassDef():
                self._block(node.body, dict(writes))
                writes[node.name] = frozenset([node])
            case ast.Assign():
                self._bind(node.targets, [node.value], writes)
            case ast.AnnAssign():
                self._bind([node.target], [node.value] if node.value else [], writes)
            case ast.AugAssign():
                self._bind([node.target], [node.target, node.value], writes)
            case _:
                self._expressions([node], writes)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, writes: Writes) -> Writes:
        before: Writes = dict(writes)
        for _ in range(2):
            inner = dict(before)
            if isinstance(node, ast.While):
                self._expressions([node.test], inner)
            else:
                self._bind([node.target], [node.iter], inner)
            before = _merged(before, self._block(node.body, inner)) or {}
        return _merged(before, self._block(node.orelse, dict(before))) or {}

    def _try(self, node: ast.Try | ast.TryStar, writes: Writes) -> Writes | None:
        before = dict(writes)
        body = self._block(node.body, dict(writes))
        thrown = _merged(before, body) or {}
        after = self._block(node.orelse, dict(body)) if body is not None else None
        for handler in node.handlers:
            inner = dict(thrown)
            if handler.type is not None:
                self._expressions([handler.type], inner)
            if handler.name:
                inner[handler.name] = frozenset([handler])
            after = _merged(after, self._block(handler.body, inner))
        if not node.finalbody:
            return after
        end = self._block(node.finalbody, _merged(after, thrown) or {})
        return None if after is None else end

    def _bind(self, targets: Sequence[ast.AST], values: Sequence[ast.AST], writes: Writes) -> None:
        start = len(self._reads)
        self._expressions(values, writes)
        read = self._reads[start:]
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                    self.computed_from[name] = read
        self._expressions(targets, writes)

    def _expressions(self, nodes: Iterable[ast.AST], writes: Writes) -> None:
        for node in nodes:
            self._expression(node, writes)

    def _expression(self, node: ast.AST, writes: Writes) -> None:
        match node:
            case ast.Name():
                self.reaching[node] = self.reaching.get(node, frozenset()) | writes.get(node.id, frozenset())
                if isinstance(node.ctx, ast.Load):
                    self._reads.append(node)
                else:
                    writes[node.id] = frozenset([node])
            case ast.Lambda():
                self._function(node, writes)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                inner = dict(writes)
                for generator in node.generators:
                    self._bind([generator.target], [generator.iter], inner)
                    self._expressions(generator.ifs, inner)
                results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
                self._expressions(results, inner)
            case ast.NamedExpr():
                self._bind([node.target], [node.value], writes)
            case _:
                self._expressions(children(node), writes)


class NameUse:
    """What speaks for another name at a place, as far as counting tells.

    A place asks for a name where it is given to a keyword, a parameter, an attribute or a key of that name, as in
    ``size=size``.

    Args:
        nodes: of the tree of a function.
        flow: its data flow.
        parameters: of functions that it may call.
    """

    def __init__(self, nodes: Sequence[ast.AST], flow: DataFlow, parameters: Parameters) -> None:
        self.reaching = flow.reaching
        self.asked = dict(_asked(nodes, parameters))
        updated = {id(node.target) for node in nodes if isinstance(node, ast.AugAssign)}
        self.reads: Counter[ast.AST] = Counter()
        self.writes: dict[str, set[ast.AST]] = defaultdict(set)
        for node, writes in flow.reaching.items():
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load) or id(node) in updated:
                    self.reads.update(writes)
                    self.writes[node.id] |= writes
                else:
                    self.writes[node.id].add(node)
        for node in nodes:
            if isinstance(node, ast.arg):
                self.writes[node.arg].add(node)

    def label(self, read: ast.Name, name: str) -> str:
        """That of ``name`` in place of ``read``: one of ``NAME_LABELS``."""
        writes = self.reaching.get(read, frozenset())
        here = "unwritten" if not writes else "alone" if all(self.reads[write] == 1 for write in writes) else "shared"
        counts = [self.reads[write] for write in self.writes[name]]
        there = "unread" if 0 in counts else "once" if sum(counts) == 1 else "often"
        return f"{here}, other {there}{self._matched(read, read.id, name)}"

    def attribute_label(self, read: ast.Attribute, name: str) -> str:
        """That of the attribute ``name`` in place of the one of ``read``: one of ``ATTRIBUTE_LABELS``."""
        return f"attribute{self._matched(read, read.attr, name)}"

    def swap_label(self, one: ast.expr, other: ast.expr) -> str:
        """That of two arguments in each other's place: one of ``SWAP_LABELS``."""
        names, wanted = (_last_name(one), _last_name(other)), (self.asked.get(one), self.asked.get(other))
        here, there = (
            sum(name is not None and name == asked for name, asked in zip(names, order, strict=True))
            for order in (wanted, wanted[::-1])
        )
        return f"swapped{_ASKED[0 if here == there else 1 if here > there else 2]}"

    def _matched(self, read: ast.AST, name: str, other: str) -> str:
        asked = self.asked.get(read)
        if asked is None:
            return ""
        return _ASKED[1 if asked == name.strip("_") else 2 * (asked == other.strip("_"))]


def _last_name(node: ast.expr) -> str | None:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.strip("_") or None


def _asked(nodes: Iterable[ast.AST], parameters: Parameters) -> Iterator[tuple[ast.AST, str]]:
    """The nodes whose place has a name, without underscores around it."""
    for node in nodes:
        match node:
            case ast.keyword(arg=str() as name):
                yield node.value, name.strip("_")
            case ast.Assign(targets=[ast.Attribute(attr=name)]):
                yield node.value, name.strip("_")
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield node.value, name.strip("_")
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield value, key.value.strip("_")
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                for argument, asked in zip(node.args, parameters.get(name) or (), strict=False):
                    if isinstance(argument, ast.Starred):
                        break
                    yield argument, asked.strip("_")


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    """The parameters of a function in the order of their places."""
    rest = [arguments.vararg] if arguments.vararg else []
    named = [arguments.kwarg] if arguments.kwarg else []
    return [*arguments.posonlyargs, *arguments.args, *rest, *arguments.kwonlyargs, *named]


def _merged(one: Writes | None, other: Writes | None) -> Writes | None:
    if one is None or other is None:
        return one if other is None else other
    return {name: one.get(name, frozenset()) | other.get(name, frozenset()) for name in one | other}

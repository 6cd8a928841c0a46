"""How a function uses its names, where one may stand in place of another: what a wrong name leaves behind."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator

from tonggan.codelm.review.learned.data_flow import DataFlow

_WRITTEN = ("alone", "shared", "unwritten")
_READ = ("unread", "once", "often")
_ASKED = ("", ", this asked", ", other asked")

NAME_LABELS = tuple(f"{here}, other {there}{asked}" for here in _WRITTEN for there in _READ for asked in _ASKED)
"""How a name is used, and how the one that may stand in its place is."""
ATTRIBUTE_LABELS = tuple(f"attribute{asked}" for asked in _ASKED)
"""Whether the place asks for an attribute."""


class NameUse:
    """What speaks for another name at a place, as far as counting tells.

    A place asks for a name where it is given to a keyword, an attribute or a key of that name, as in ``size=size``.

    Args:
        function: the tree of a function.
        flow: its data flow.
    """

    def __init__(self, function: ast.AST, flow: DataFlow) -> None:
        self.reaching = flow.reaching
        self.asked = dict(_asked(function))
        updated = {id(node.target) for node in ast.walk(function) if isinstance(node, ast.AugAssign)}
        self.reads: Counter[ast.AST] = Counter()
        self.writes: dict[str, set[ast.AST]] = defaultdict(set)
        for node, writes in flow.reaching.items():
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load) or id(node) in updated:
                    self.reads.update(writes)
                    self.writes[node.id] |= writes
                else:
                    self.writes[node.id].add(node)
        for node in ast.walk(function):
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

    def _matched(self, read: ast.AST, name: str, other: str) -> str:
        asked = self.asked.get(read)
        return _ASKED[0 if asked is None else 1 if asked == name else 2 * (asked == other)]


def _asked(function: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(function):
        match node:
            case ast.keyword(arg=str() as name):
                yield node.value, name
            case ast.Assign(targets=[ast.Attribute(attr=name)]):
                yield node.value, name.strip("_")
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield node.value, name
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield value, key.value

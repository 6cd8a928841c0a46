"""A Python file, its functions and its classes as rules read them."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from tonggan.codelm.source_file import SourceFile

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_TREE = (ast.mod, ast.stmt, ast.expr, ast.excepthandler, ast.arguments, ast.arg, ast.keyword, ast.alias, ast.withitem,
         ast.match_case, ast.pattern, ast.comprehension, ast.type_ignore)  # fmt: skip
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class Module:
    """One Python file.

    Attributes:
        path: relative to the repository's root.
        name: with dots, from the outermost folder with an ``__init__.py`` on.
        source: the file.
        tree: its syntax tree.
        nodes: all of the tree that ``children`` reaches, with what each is in, outer before inner.
        lines: of its text, without their ends.
        functions: all, also inside of classes and functions, in the order of their beginnings.
        classes: likewise.
        imports: what names of the whole module mean: another module's name, and a name in it or None.
        stars: modules of which everything is imported.
        values: module-level names that are assigned exactly once.
    """

    def __init__(self, source: SourceFile, name: str) -> None:
        self.path = source.name
        self.name = name
        self.source = source
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the user's strings
            self.tree = ast.parse(source.text)
        self.lines = source.text.split("\n")
        self.nodes: list[tuple[ast.AST, ast.AST | None]] = [(self.tree, None)]
        for node, _ in self.nodes:
            self.nodes.extend([(child, node) for child in children(node)])
        self.functions: list[Function] = []
        self.classes: list[Class] = []
        self.imports: dict[str, tuple[str, str | None]] = {}
        self.stars: list[str] = []
        self.values: dict[str, ast.expr] = {}
        self._top: dict[str, Function | Class] = {}
        self._read_definitions()
        self._read_names()

    @property
    def is_test(self) -> bool:
        """Whether it is a test, by its name and place."""
        return is_test(self.path)

    @cached_property
    def definitions(self) -> tuple[Function | Class, ...]:
        """All functions and classes, in the order of their beginnings."""
        both: list[Function | Class] = [*self.functions, *self.classes]
        return tuple(sorted(both, key=lambda each: (each.node.lineno, each.node.col_offset)))

    def definition(self, name: str) -> Function | Class | None:
        """What the module itself defines under ``name`` (the last one, where several are)."""
        return self._top.get(name)

    @cached_property
    def bound(self) -> set[str]:
        """All names that the module has, as far as they can be read; those of a star are not among them."""
        found = set(self.imports)
        stack: list[ast.AST] = list(self.tree.body)
        while stack:
            node = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif not isinstance(node, ast.Lambda):
                stack.extend(ast.iter_child_nodes(node))
        for node, _ in self.nodes:
            if isinstance(node, ast.Global):
                found.update(node.names)
        return found

    @property
    def is_open(self) -> bool:
        """Whether it may have names that cannot be read in it."""
        dynamic = ("globals()", "setattr(sys.modules", "sys.modules[__name__]", "_import_structure", "lazy")
        return "__getattr__" in self.bound or any(word in self.source.text for word in dynamic)

    def column(self, line: int, offset: int) -> int:
        """A column from 1 in characters, of an offset of ``ast``, which counts bytes of UTF-8."""
        text = self.lines[line - 1]
        return offset + 1 if text.isascii() else len(text.encode()[:offset].decode("utf-8", "ignore")) + 1

    def text_of(self, node: ast.expr | ast.stmt) -> str:
        """The source of ``node``, whose lines are joined where it has several."""
        start, end = node.lineno, node.end_lineno or node.lineno
        first, last = self.column(start, node.col_offset) - 1, self.column(end, node.end_col_offset or 0) - 1
        if start == end:
            return self.lines[start - 1][first:last]
        parts = [self.lines[start - 1][first:], *self.lines[start : end - 1], self.lines[end - 1][:last]]
        return " ".join(part.strip() for part in parts)

    @cached_property
    def calls(self) -> list[Call]:
        """All calls, with what is around them, in the order of their beginnings."""
        functions: dict[ast.AST, Function] = {each.node: each for each in self.functions}
        inside: dict[ast.AST, Function | None] = {}
        found: list[Call] = []
        for node, parent in self.nodes:
            inner = inside[node] = functions.get(node) or (inside[parent] if parent is not None else None)
            if isinstance(node, ast.Call) and parent is not None:
                found.append(Call(self, node, parent, inner))
        return sorted(found, key=lambda call: (call.node.lineno, call.node.col_offset))

    def _read_definitions(self) -> None:
        stack: list[tuple[ast.AST, Function | Class | None]] = [(self.tree, None)]
        found: list[Function | Class] = []
        while stack:
            node, outer = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                made = Class(self, node, outer) if isinstance(node, ast.ClassDef) else Function(self, node, outer)
                found.append(made)
                outer = made
            if isinstance(node, ast.stmt | ast.Module | ast.excepthandler | ast.match_case):
                stack.extend(
                    (child, outer)
                    for child in ast.iter_child_nodes(node)
                    if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
                )
        found.sort(key=lambda each: (each.node.lineno, each.node.col_offset))
        for each in found:
            if isinstance(each, Class):
                self.classes.append(each)
            else:
                self.functions.append(each)
            if each.outer is None:
                self._top[each.node.name] = each
            elif isinstance(each.outer, Class):
                each.outer.members[each.node.name] = each

    def _read_names(self) -> None:
        package = self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]
        changed: set[str] = set()
        for node, _ in self.nodes:
            if isinstance(node, ast.Global):
                changed.update(node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.imports.setdefault(name, (alias.name if alias.asname else name, None))
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(node, package)
                for alias in node.names:
                    if alias.name == "*":
                        self.stars.append(base)
                    else:
                        self.imports.setdefault(alias.asname or alias.name, (base, alias.name))
        self._read_values(changed)

    def _read_values(self, assigned: set[str]) -> None:
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign):
                targets = [each for each in statement.targets if isinstance(each, ast.Name)]
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                targets = [statement.target]
            else:
                continue
            for target in targets:
                if target.id in assigned or statement.value is None:
                    self.values.pop(target.id, None)
                else:
                    self.values[target.id] = statement.value
                assigned.add(target.id)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


@dataclass(frozen=True, eq=False)
class Call:
    """A call and what is around it.

    Attributes:
        module: it stands in.
        node: of the syntax tree.
        parent: the node right around it.
        inside: the innermost function around it.
    """

    module: Module
    node: ast.Call
    parent: ast.AST
    inside: Function | None

    @property
    def line(self) -> str:
        """The first line of its source."""
        return self.module.lines[self.node.lineno - 1].strip()


class _Defined:
    """What functions and classes have in common: names and decorators."""

    node: FunctionNode | ast.ClassDef
    outer: Function | Class | None

    @property
    def name(self) -> str:
        """Its own."""
        return self.node.name

    @cached_property
    def qualified_name(self) -> str:
        """With those of what it is in, e.g. ``Class.method``."""
        return f"{self.outer.qualified_name}.{self.name}" if self.outer else self.name

    @cached_property
    def decorators(self) -> list[str]:
        """The names of its decorators, without arguments."""
        return [dotted(each.func if isinstance(each, ast.Call) else each) for each in self.node.decorator_list]


class Function(_Defined):
    """A function or method of a module.

    Attributes:
        module: it stands in.
        node: of the syntax tree.
        outer: the class or function around it.
    """

    node: FunctionNode

    def __init__(self, module: Module, node: FunctionNode, outer: Function | Class | None) -> None:
        self.module = module
        self.node = node
        self.outer = outer

    @property
    def owner(self) -> Class | None:
        """The class whose method it is."""
        return self.outer if isinstance(self.outer, Class) else None

    @cached_property
    def own_nodes(self) -> list[ast.AST]:
        """What its body holds, without what inner functions and classes hold."""
        found: list[ast.AST] = []
        stack: list[ast.AST] = list(reversed(self.node.body))
        while stack:
            node = stack.pop()
            found.append(node)
            if not isinstance(node, _SCOPES):
                stack.extend(reversed(children(node)))
        return found

    @cached_property
    def local(self) -> set[str]:
        """Names that mean something of its own in it: parameters, and what it assigns or imports."""
        given = self.node.args
        found = {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        found |= {each.arg for each in (given.vararg, given.kwarg) if each is not None}
        for node in self.own_nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
        return found | (self.outer.local if isinstance(self.outer, Function) else set())


class Class(_Defined):
    """A class of a module.

    Attributes:
        module: it stands in.
        node: of the syntax tree.
        outer: the class or function around it.
        members: methods and inner classes by name, the last where several have one.
    """

    node: ast.ClassDef

    def __init__(self, module: Module, node: ast.ClassDef, outer: Function | Class | None) -> None:
        self.module = module
        self.node = node
        self.outer = outer
        self.members: dict[str, Function | Class] = {}

    def method(self, name: str) -> Function | None:
        """Its own method of that name."""
        found = self.members.get(name)
        return found if isinstance(found, Function) else None


def children(node: ast.AST) -> list[ast.AST]:
    """What is right below a node, without operators and whether a name is read: in half the time of ``ast``."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if type(value) is list:
            found += [each for each in value if isinstance(each, _TREE)]
        elif isinstance(value, _TREE):
            found.append(value)
    return found


def is_test(path: str) -> bool:
    """Whether a file is a test, by its name and place."""
    *folders, name = PurePosixPath(path).parts
    return name.startswith(("test_", "conftest")) or name.endswith("_test.py") or "tests" in folders


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of names; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *parts]) if isinstance(node, ast.Name) else ""

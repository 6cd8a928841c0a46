"""A repository as rules read it: each Python file parsed once, names resolved by reading alone. Nothing is imported.

Files that cannot be parsed are named in ``Repository.problems``; all others are reviewed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from tonggan.codelm.source_file import SourceFile

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_DOCUMENTS = {".md", ".markdown", ".rst"}
_MOST_HOPS = 10  # from an import to what it means
_PYTHON_2 = ("Missing parentheses in call to", "multiple exception types must be parenthesized")


class Module:
    """One Python file.

    Attributes:
        path: relative to the repository's root.
        name: with dots, from the outermost folder with an ``__init__.py`` on.
        source: the file.
        tree: its syntax tree.
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
        *folders, name = PurePosixPath(self.path).parts
        return name.startswith(("test_", "conftest")) or name.endswith("_test.py") or "tests" in folders

    @cached_property
    def definitions(self) -> tuple[Function | Class, ...]:
        """All functions and classes, in the order of their beginnings."""
        both: list[Function | Class] = [*self.functions, *self.classes]
        return tuple(sorted(both, key=lambda each: (each.node.lineno, each.node.col_offset)))

    def definition(self, name: str) -> Function | Class | None:
        """What the module itself defines under ``name`` (the last one, where several are)."""
        return self._top.get(name)

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
    def scopes(self) -> dict[ast.AST, Function | None]:
        """The innermost function that each call stands in; None on the level of the module or of a class."""
        found: dict[ast.AST, Function | None] = {}
        functions = {each.node: each for each in self.functions}
        stack: list[tuple[ast.AST, Function | None]] = [(self.tree, None)]
        while stack:
            node, inside = stack.pop()
            if isinstance(node, ast.Call):
                found[node] = inside
            inner = functions.get(node, inside) if isinstance(node, FunctionNode) else inside
            stack.extend((child, inner) for child in ast.iter_child_nodes(node))
        return found

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
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
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
        self._read_values({name for node in ast.walk(self.tree) if isinstance(node, ast.Global) for name in node.names})

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


class Function:
    """A function or method of a module.

    Attributes:
        module: it stands in.
        node: of the syntax tree.
        outer: the class or function around it.
    """

    def __init__(self, module: Module, node: FunctionNode, outer: Function | Class | None) -> None:
        self.module = module
        self.node = node
        self.outer = outer

    @property
    def name(self) -> str:
        """Its own."""
        return self.node.name

    @cached_property
    def qualified_name(self) -> str:
        """With those of what it is in, e.g. ``Class.method``."""
        return f"{self.outer.qualified_name}.{self.name}" if self.outer else self.name

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
                stack.extend(reversed(list(ast.iter_child_nodes(node))))
        return found

    @cached_property
    def decorators(self) -> list[str]:
        """The names of its decorators, without arguments."""
        return [dotted(each.func if isinstance(each, ast.Call) else each) for each in self.node.decorator_list]


class Class:
    """A class of a module.

    Attributes:
        module: it stands in.
        node: of the syntax tree.
        outer: the class or function around it.
        members: methods and inner classes by name, the last where several have one.
    """

    def __init__(self, module: Module, node: ast.ClassDef, outer: Function | Class | None) -> None:
        self.module = module
        self.node = node
        self.outer = outer
        self.members: dict[str, Function | Class] = {}

    @property
    def name(self) -> str:
        """Its own."""
        return self.node.name

    @cached_property
    def qualified_name(self) -> str:
        """With those of what it is in."""
        return f"{self.outer.qualified_name}.{self.name}" if self.outer else self.name

    @cached_property
    def decorators(self) -> list[str]:
        """The names of its decorators, without arguments."""
        return [dotted(each.func if isinstance(each, ast.Call) else each) for each in self.node.decorator_list]

    def method(self, name: str) -> Function | None:
        """Its own method of that name."""
        found = self.members.get(name)
        return found if isinstance(found, Function) else None


Definition = Function | Class | Module


class Repository:
    """The Python files and documents of a folder, and what their names mean.

    Args:
        root: the folder.
        files: what was read of it; only Python, Markdown and reStructuredText is used.
        reviewed: paths of the files that findings are wanted in; all by default. The others are read as context.
        former: modules whose files are unchanged are taken from there.

    Attributes:
        root: the folder.
        documents: files of Markdown and reStructuredText by path.
        reviewed: paths of the files that findings are wanted in.
        problems: files that were not reviewed by path, and why.
    """

    def __init__(
        self,
        root: Path,
        files: Iterable[SourceFile],
        *,
        reviewed: Collection[str] | None = None,
        former: Repository | None = None,
    ) -> None:
        self.root = root
        self.documents: dict[str, SourceFile] = {}
        self.problems: dict[str, str] = {}
        self._sources: dict[str, SourceFile] = {}
        self._modules: dict[str, Module | None] = {}
        self._former = former
        for source in files:
            if source.path.suffix == ".ipynb":
                self.problems[source.name] = "notebooks are not reviewed"
            elif source.path.suffix == ".py":
                self._sources[source.name] = source
            elif source.path.suffix.lower() in _DOCUMENTS:
                self.documents[source.name] = source
        packages = {PurePosixPath(path).parent for path in self._sources if path.endswith("__init__.py")}
        self._paths = {_module_name(path, packages): path for path in self._sources}
        self._names = {path: _module_name(path, packages) for path in self._sources}
        self.reviewed = set(self._sources) | set(self.documents) if reviewed is None else set(reviewed)

    def at(self, path: str) -> Module | None:
        """The module at ``path``, parsed when it is first asked for; None where there is none that can be parsed."""
        if path not in self._modules and path in self._sources:
            self._modules[path] = self._parsed(self._sources[path], self._names[path])
        return self._modules.get(path)

    def _parsed(self, source: SourceFile, name: str) -> Module | None:
        known = self._former._modules.get(source.name) if self._former else None
        if known is not None and known.source.sha256 == source.sha256 and known.name == name:
            return known
        try:
            return Module(source, name)
        except SyntaxError as error:
            what = "it is Python 2" if (error.msg or "").startswith(_PYTHON_2) else error.msg
            problem = f"not parsed, line {error.lineno}: {what}"
        except (RecursionError, MemoryError):
            problem = "not parsed: it is nested too deeply"
        except ValueError as error:  # NUL bytes, halves of surrogate pairs
            problem = f"not parsed: {error}"
        self.problems[source.name] = problem
        return None

    def modules(self, *, mentioning: Collection[str] | None = None) -> Iterator[Module]:
        """All modules by path, whether findings are wanted in them or not.

        Args:
            mentioning: only those whose text has one of these words; others need not be parsed.
        """
        words = None if mentioning is None else re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(mentioning)))})\b")
        for path, source in sorted(self._sources.items()):
            if words is None or (mentioning and words.search(source.text)):
                module = self.at(path)
                if module is not None:
                    yield module

    def reviewed_modules(self) -> Iterator[Module]:
        """The modules that findings are wanted in, by path."""
        return (module for path in sorted(self.reviewed) if (module := self.at(path)) is not None)

    def module(self, name: str) -> Module | None:
        """The module of that name with dots."""
        path = self._paths.get(name)
        return None if path is None else self.at(path)

    def resolve(self, module: Module, node: ast.AST) -> Definition | None:
        """What a name or ``name.attribute`` on the level of ``module`` means; None for all that is not sure."""
        if isinstance(node, ast.Name):
            return self.named(module, node.id)
        if isinstance(node, ast.Attribute):
            base = self.resolve(module, node.value)
            if isinstance(base, Module):
                return self.named(base, node.attr) or self.module(f"{base.name}.{node.attr}")
            if isinstance(base, Class):
                return self.member(base, node.attr)
        return None

    def named(self, module: Module, name: str) -> Definition | None:
        """What ``name`` means in ``module``."""
        for _ in range(_MOST_HOPS):
            found = module.definition(name)
            if found is not None:
                return None if name in module.values or name in module.imports else found
            if name not in module.imports:
                stars = filter(None, map(self.module, module.stars))
                return next((found for star in stars if (found := star.definition(name)) is not None), None)
            target, attribute = module.imports[name]
            if attribute is None:
                return self.module(target)
            inside = self.module(target)
            if inside is None or inside is module:
                return self.module(f"{target}.{attribute}")
            if inside.definition(attribute) is None and attribute not in inside.imports and not inside.stars:
                return self.module(f"{target}.{attribute}")
            module, name = inside, attribute
        return None

    def bases(self, owner: Class) -> tuple[list[Class], bool]:
        """The class and those it inherits from, nearest first, and whether that is all of them (``object`` aside)."""
        found: list[Class] = []
        complete, waiting = True, [owner]
        while waiting and len(found) < 100:
            each = waiting.pop(0)
            if each in found:
                continue
            found.append(each)
            for base in each.node.bases:
                meant = self.resolve(each.module, base)
                if isinstance(meant, Class):
                    waiting.append(meant)
                elif dotted(base) != "object":
                    complete = False
        return found, complete

    def member(self, owner: Class, name: str) -> Function | Class | None:
        """What a class has under ``name``, itself or from what it inherits in this repository."""
        for each in self.bases(owner)[0]:
            if name in each.members:
                return each.members[name]
        return None


def _module_name(path: str, packages: Collection[PurePosixPath]) -> str:
    file = PurePosixPath(path)
    parts = [] if file.name == "__init__.py" else [file.stem]
    folder = file.parent
    while folder in packages and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or file.stem


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of names; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *parts]) if isinstance(node, ast.Name) else ""

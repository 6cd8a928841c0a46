"""A repository as rules read it: each Python file parsed once, names resolved by reading alone. Nothing is imported.

Files that cannot be parsed are named in ``Repository.problems``; all others are reviewed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tonggan.codelm.review.blocks import FailedExample
from tonggan.codelm.review.module import Call, Class, Function, Module, dotted, is_test
from tonggan.codelm.source_file import SourceFile

if TYPE_CHECKING:
    from tonggan.codelm.review.learned.detector import BugDetector

_DOCUMENTS = {".md", ".markdown", ".rst"}
_MOST_HOPS = 10  # from an import to what it means
_PYTHON_2 = ("Missing parentheses in call to", "multiple exception types must be parenthesized")

Definition = Function | Class | Module


class Repository:
    """The Python files and documents of a folder, and what their names mean.

    Args:
        root: the folder.
        files: what was read of it; only Python, Markdown and reStructuredText is used.
        reviewed: paths of the files that findings are wanted in; all by default. The others are read as context.
        former: modules whose files are unchanged are taken from there, and those that either parses are known to both.

    Attributes:
        root: the folder.
        documents: files of Markdown and reStructuredText by path.
        reviewed: paths of the files that findings are wanted in.
        problems: files that were not reviewed by path, and why.
        detector: the trained bug detector that is to read it; None for no such suspicions.
        failed_examples: of its docstrings and documents, where these were run.
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
        self._known: dict[str, Module] = former._known if former else {}  # last parsed of each, by any of them
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
        self.detector: BugDetector | None = None
        self.failed_examples: Sequence[FailedExample] = ()

    def with_text(self, path: str, text: str) -> Repository:
        """The repository with another text of one file, which alone is reviewed."""
        known = self._sources.get(path)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        changed = SourceFile(self.root / path, path, known.language if known else "python", text, digest, "\n")
        files = (self._sources | {path: changed}).values()
        found = Repository(self.root, [*files, *self.documents.values()], reviewed={path}, former=self)
        found.detector = self.detector
        return found

    def at(self, path: str) -> Module | None:
        """The module at ``path``, parsed when it is first asked for; None where there is none that can be parsed."""
        if path not in self._modules and path in self._sources:
            self._modules[path] = self._parsed(self._sources[path], self._names[path])
        return self._modules.get(path)

    def _parsed(self, source: SourceFile, name: str) -> Module | None:
        known = self._known.get(source.name)
        if known is not None and known.source.sha256 == source.sha256 and known.name == name:
            return known
        try:
            self._known[source.name] = Module(source, name)
            return self._known[source.name]
        except SyntaxError as error:
            what = "it is Python 2" if (error.msg or "").startswith(_PYTHON_2) else error.msg
            problem = f"not parsed, line {error.lineno}: {what}"
        except (RecursionError, MemoryError):
            problem = "not parsed: it is nested too deeply"
        except ValueError as error:  # NUL bytes, halves of surrogate pairs
            problem = f"not parsed: {error}"
        self.problems[source.name] = problem
        return None

    def lines_of(self, path: str) -> list[str]:
        """The lines of a file that was read, without their ends."""
        module = self.at(path)
        return module.lines if module else self.documents[path].text.split("\n")

    def modules(self) -> Iterator[Module]:
        """All modules but tests by path, whether findings are wanted in them or not."""
        return (module for path in sorted(self._sources) if not is_test(path) and (module := self.at(path)) is not None)

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

    @cached_property
    def calls(self) -> dict[Function | Class, list[Call]]:
        """The calls of each function and class of the repository outside of tests, so far as they are sure."""
        found: dict[Function | Class, list[Call]] = {}
        for module in self.modules():
            for call in module.calls:
                called = self._called(call)
                if called is not None:
                    found.setdefault(called, []).append(call)
        return found

    def _called(self, call: Call) -> Function | Class | None:
        function = call.node.func
        first = dotted(function).partition(".")[0]
        owner = call.inside.owner if call.inside else None
        if owner is not None and first == "self" and isinstance(function, ast.Attribute):
            return self.member(owner, function.attr) if isinstance(function.value, ast.Name) else None
        meant = self.resolve(call.module, function) if first else None
        if meant is None or isinstance(meant, Module) or (call.inside is not None and first in call.inside.local):
            return None
        return meant

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

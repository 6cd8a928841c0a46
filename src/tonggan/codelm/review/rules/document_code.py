"""Python in Markdown and reStructuredText that names what the repository does not have."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from tonggan.codelm.review.blocks import Block, blocks_in
from tonggan.codelm.review.documented import taken_by
from tonggan.codelm.review.finding import Edit, Evidence, Finding
from tonggan.codelm.review.module import Class, Function, Module, dotted
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Definition, Repository

NAME = "document-name"
ARGUMENT = "document-argument"
_NEAR = 0.75  # of difflib's ratio
_OLD = ("changelog", "changes", "history", "news", "release", "migration", "upgrad", "whatsnew", "what_s_new")


class _Page:
    """What the names in the blocks of one document mean, block after block."""

    def __init__(self, repository: Repository, path: str) -> None:
        self.repository = repository
        self.path = path
        self.names: dict[str, Definition | None] = {}
        self.instances: dict[str, Class] = {}

    def imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[Module, ast.alias]]:
        """Take in an import; yields what a module of the repository does not have."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                self.names[alias.asname or name] = self.repository.module(name)
            return
        module = self.repository.module(node.module or "") if not node.level else None
        for alias in node.names:
            meant = None
            if module is not None:
                inside = self.repository.module(f"{module.name}.{alias.name}")
                meant = self.repository.named(module, alias.name) or inside
                if meant is None and alias.name != "*" and _surely_lacks(self.repository, module, alias.name):
                    yield module, alias
            self.names[alias.asname or alias.name] = meant

    def meaning(self, node: ast.expr) -> Definition | None:
        """What an expression names; a method for one of a known instance."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        if isinstance(node.value, ast.Name) and node.value.id in self.instances:
            return self.repository.member(self.instances[node.value.id], node.attr)
        base = self.meaning(node.value)
        if isinstance(base, Module):
            return self.repository.named(base, node.attr) or self.repository.module(f"{base.name}.{node.attr}")
        return self.repository.member(base, node.attr) if isinstance(base, Class) else None

    def assigned(self, node: ast.stmt) -> None:
        """Follow ``name = Class(…)``; what else is assigned means nothing that is known."""
        targets = node.targets if isinstance(node, ast.Assign) else []
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                self.names.pop(each.id, None)
                self.instances.pop(each.id, None)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(targets) == 1:
            made = self.meaning(node.value.func)
            if isinstance(targets[0], ast.Name) and isinstance(made, Class):
                self.instances[targets[0].id] = made


def _surely_lacks(repository: Repository, module: Module, name: str) -> bool:
    """Whether a module has no such name: it takes in none from elsewhere, and makes none while it runs."""
    if name in module.bound or module.is_open or name.startswith("__"):
        return False
    return all((star := repository.module(each)) is not None and _surely_lacks(repository, star, name)
               for each in module.stars)  # fmt: skip


def _pages(repository: Repository) -> Iterator[tuple[_Page, Block, ast.Module]]:
    """The Python blocks of the reviewed documents that can be parsed; what tells of former versions is left out."""
    for path, source in sorted(repository.documents.items()):
        if path not in repository.reviewed or any(word in path.lower() for word in _OLD):
            continue
        page = _Page(repository, path)
        for block in blocks_in(source.text):
            if block.language == "python":
                try:
                    yield page, block, ast.parse(block.text)
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    continue  # a sketch


@rule(NAME)
def unknown_names(repository: Repository) -> Iterator[Finding]:
    """An example in a document imports or reads a name that a module of the repository does not have.

    Silent on modules that make names while they run, and on pages that tell of former versions. Known false alarms: an
    example that means another package of the same name.
    """
    for page, block, tree in _pages(repository):
        for statement in tree.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    for module, alias in page.imported(node):
                        yield _name_finding(page, block, alias.name, module, (alias.lineno, alias.col_offset))
                elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    base = page.meaning(node.value)
                    if (
                        isinstance(base, Module)
                        and page.meaning(node) is None
                        and _surely_lacks(repository, base, node.attr)
                    ):
                        place = (node.end_lineno or 1, (node.end_col_offset or 0) - len(node.attr))
                        yield _name_finding(page, block, node.attr, base, place)
            page.assigned(statement)


def _name_finding(page: _Page, block: Block, name: str, module: Module, place: tuple[int, int]) -> Finding:
    near = difflib.get_close_matches(name, module.bound, 1, _NEAR)
    message = f"the example uses '{name}' of {module.name}, which has no such name"
    if near:
        message = f"the example uses '{name}' of {module.name}, which has '{near[0]}'"
    return _finding(NAME, page, block, message, name, place, Evidence(f"{module.name} has no '{name}'", module.path, 1))


@rule(ARGUMENT)
def unknown_arguments(repository: Repository) -> Iterator[Finding]:
    """An example in a document gives a function of the repository an argument that it does not take.

    Silent where the function takes any, is decorated, or its class is made in ways that cannot be read. Known false
    alarms: an example that means another package of the same name.
    """
    for page, block, tree in _pages(repository):
        for statement in tree.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    list(page.imported(node))
                elif isinstance(node, ast.Call):
                    yield from _wrong_arguments(page, block, node)
            page.assigned(statement)


def _wrong_arguments(page: _Page, block: Block, call: ast.Call) -> Iterator[Finding]:
    called = page.meaning(call.func)
    parameters = taken_by(page.repository, called) if isinstance(called, Function | Class) else None
    if parameters is None or any(each.kind == "keywords" for each in parameters):
        return
    assert isinstance(called, Function | Class)
    names = [each.name for each in parameters]
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in names:
            continue
        near = difflib.get_close_matches(keyword.arg, names, 1, _NEAR)
        message = f"the example passes {dotted(call.func)} '{keyword.arg}', which it does not accept"
        if near:
            message = f"the example passes {dotted(call.func)} '{keyword.arg}', which calls it '{near[0]}'"
        module, line = called.module, called.node.lineno
        shown = Evidence(module.lines[line - 1].strip(), module.path, line)
        place = (keyword.lineno, keyword.col_offset)
        yield _finding(ARGUMENT, page, block, message, keyword.arg, place, shown, new=near[0] if near else None)


def _finding(
    rule: str, page: _Page, block: Block, message: str, name: str, at: tuple[int, int], shown: Evidence, *,
    new: str | None = None,
) -> Finding:  # fmt: skip
    text = block.lines[at[0] - 1]
    line, column = block.place(at[0], len(text.encode()[: at[1]].decode("utf-8", "ignore")) + 1)
    end = column + len(name)
    edit = None if new is None else Edit(line, column, line, end, new)
    own = Evidence(text.strip(), page.path, line)
    return Finding(rule, page.path, line, line, column, end, message, (own, shown), 0.95 if new else 0.9, edit)

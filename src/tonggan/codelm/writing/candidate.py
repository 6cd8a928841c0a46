"""A text that may become the function: does it parse, fit the file, and name only what is there? It runs nothing."""

from __future__ import annotations

import ast
import copy
import sys
from dataclasses import dataclass

from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.scope import Problem, problems_in
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.codelm.writing.request import Function, Request, first_line, is_empty


@dataclass(frozen=True)
class Candidate:
    r"""What one draw gave.

    Attributes:
        text: of the whole file with it, with ``\n`` at line ends.
        source: how it was written, for a person.
        logprob: mean of its tokens, natural; None where no model wrote it.
        key: its syntax tree without docstring and without the names of local variables; empty where it has none.
        stage: how far it came: ``parse``, ``scope`` or ``trial``.
        refused: why it did not come further; None for one that is to be tried.
    """

    text: str
    source: str
    logprob: float | None
    key: str
    stage: str
    refused: str | None


class Judge:
    """Looks at the texts for one place.

    Args:
        request: the place.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._modules = Modules(Workspace(request.root))
        if request.header:
            bare = ast.parse(request.whole(f"\n{request.indent}    ..."))
            self._rest = _without(bare, request.line)[0]
        else:
            self._rest = ast.dump(ast.parse(f"{request.before}\n{request.after}"))

    def look(self, written: str, *, source: str, logprob: float | None, is_whole: bool = True) -> Candidate:
        """The candidate that ``written`` makes; modules of the standard library that it names are imported in it.

        Args:
            written: the body of a function that is there, or a whole new one.
            source: how it was written.
            logprob: mean of its tokens.
            is_whole: it ended by itself.
        """
        text = self._request.whole(written)

        def made(stage: str, refused: str | None, key: str = "") -> Candidate:
            return Candidate(text, source, logprob, key, stage, refused)

        if not is_whole:
            return made("parse", "it did not finish")
        try:
            rest, node = _without(ast.parse(text), self._request.line)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            said = f"{error.msg}" if isinstance(error, SyntaxError) else type(error).__name__
            return made("parse", f"it does not parse: {said}")
        if node is None or rest != self._rest:
            return made("parse", "it is not one function, or it would change the rest of the file")
        if self._request.name not in ("", node.name):
            return made("parse", f"it is called {node.name}")
        if is_empty(node):
            return made("parse", "it does nothing")
        problems = self._problems(text, node)
        modules = sorted({each.name for each in problems if each.name in sys.stdlib_module_names})
        is_new = not any(f"import {name}\n" in written for name in modules)
        if modules and is_new and all(each.kind == "name" and each.name in modules for each in problems):
            source = f"{source}, with an import of {', '.join(modules)} added"
            return self.look(self._importing(modules, written, node), source=source, logprob=logprob)
        reason = "; ".join(dict.fromkeys(each.reason for each in problems[:3]))
        return made("scope", reason, _key(node)) if problems else made("trial", None, _key(node))

    def _importing(self, modules: list[str], written: str, node: Function) -> str:
        """``written`` with imports before the first statement."""
        lines = written.split("\n")
        first = next(each for each in node.body if each is not node.body[0] or ast.get_docstring(node) is None)
        place = first.lineno - self._request.line - self._request.header.count("\n")
        imports = [f"{' ' * first.col_offset}import {name}" for name in modules]
        return "\n".join([*lines[:place], *imports, *lines[place:]])

    def _problems(self, text: str, node: Function) -> list[Problem]:
        """What in the function cannot resolve."""
        lines = text.encode().split(b"\n")
        start = sum(len(line) + 1 for line in lines[: self._request.line - 1])
        end = sum(len(line) + 1 for line in lines[: node.end_lineno])
        syntax = Syntax.of(text, "python")
        return problems_in(syntax, start=start, end=end, path=self._request.path, modules=self._modules)


def _without(tree: ast.Module, line: int) -> tuple[str, Function | None]:
    """The tree without the function that begins at a line, written out, and that function."""
    for parent in ast.walk(tree):
        body = getattr(parent, "body", None)
        for node in body if isinstance(body, list) else ():
            if isinstance(node, Function) and first_line(node) == line:
                assert isinstance(body, list)
                body.remove(node)
                return ast.dump(tree), node
    return ast.dump(tree), None


def _key(node: Function) -> str:
    made = copy.deepcopy(node)
    if ast.get_docstring(made) is not None:
        made.body = made.body[1:] or [ast.Pass()]
    stored = {each.id for each in ast.walk(made) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    names: dict[str, str] = {}
    for each in ast.walk(made):
        if isinstance(each, ast.Name) and each.id in stored:
            each.id = names.setdefault(each.id, f"_{len(names)}")
    return ast.dump(made)

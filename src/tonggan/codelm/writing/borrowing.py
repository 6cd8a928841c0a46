"""Functions of the repository that the words find, renamed to what is asked: candidates that no model wrote."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

from tonggan.codelm.search.code_index import CodeIndex
from tonggan.codelm.writing.request import Function, Request
from tonggan.codelm.writing.sampling import Draw

_MOST = 5


def borrow(request: Request, index: CodeIndex) -> Iterator[Draw]:
    """At most five functions as they would stand at the place.

    Args:
        request: the place.
        index: of the repository.
    """
    words = f"{request.what} {request.name} {' '.join(request.sessions)}"
    query = re.sub(r"\s+", " ", re.sub(r">>>.*", "", words)).strip()
    wanted = _head(request)
    found = 0
    for hit in index.search(query, limit=4 * _MOST, language="python", kinds=["function"]) if query else ():
        unit = hit.unit
        if (unit.path, unit.name) == (request.file, request.name):
            continue
        written = _renamed(unit.text, request, wanted)
        if written is not None:
            yield Draw(written, f"copied from {unit.path}:{unit.start_line}", None, True)
            found += 1
        if found == _MOST:
            return


def _head(request: Request) -> Function | None:
    """The head of a function that is there."""
    if not request.header:
        return None
    node = ast.parse(textwrap.dedent(f"{request.header}\n{request.margin}...")).body[0]
    return node if isinstance(node, Function) else None


def _renamed(text: str, request: Request, wanted: Function | None) -> str | None:
    """The body, or the whole of a function, with the names that are asked for; None where it cannot be one."""
    try:
        node = ast.parse(textwrap.dedent(text)).body[0]
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return None
    if not isinstance(node, Function) or node.decorator_list or (wanted and type(wanted) is not type(node)):
        return None
    own, asked = _parameters(node), _parameters(wanted) if wanted is not None else None
    is_method = own[:1] in (["self"], ["cls"])
    if is_method != bool(request.owner) or (asked is not None and len(asked) != len(own)):
        return None
    names = dict(zip(own, asked or own, strict=True)) | {node.name: request.name or node.name}
    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} - names.keys()
    if used & set(names.values()):
        return None  # A name that is asked for means something else in it.
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            each.id = names.get(each.id, each.id)
        elif isinstance(each, ast.arg):
            each.arg = names.get(each.arg, each.arg)
    if wanted is None:
        node.name = request.name or node.name
        return textwrap.indent(ast.unparse(node), request.indent).lstrip()
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return "\n" + textwrap.indent("\n".join(ast.unparse(each) for each in body), request.margin)


def _parameters(node: Function) -> list[str]:
    arguments = node.args
    several = [arguments.vararg, arguments.kwarg]
    return [each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *several] if each]

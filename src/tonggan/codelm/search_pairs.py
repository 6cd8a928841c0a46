"""What a search can be tuned on: what authors say of their functions, beside the code without it.

It trains nothing. Trivial, repeated and generated ones are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tonggan.codelm.corpus.filters import why_dropped
from tonggan.codelm.source_file import SourceFile, read_source
from tonggan.codelm.units import Unit, units_of
from tonggan.codelm.walk import walk
from tonggan.errors import DataError
from tonggan.grammars import language_of, parse
from tonggan.progress import Progress

if TYPE_CHECKING:
    import tree_sitter

_MIN_WORDS, _MAX_QUESTION = 4, 400  # words and characters of a question
_MIN_CODE_WORDS = 20
_WORD = re.compile(r"[^\W\d_]{2,}|[\u3400-\u9fff]")
_PARAMETERS = re.compile(r"^\s*(?:[:@]\w|>>>|Args:|Arguments:|Parameters\b|Returns?:|Raises:|Example)", re.MULTILINE)


class Pair(NamedTuple):
    """A question and its answer.

    Attributes:
        question: the first paragraph of what is said of a function.
        code: the function without it.
        name: of the function.
        path: of the file that it is in, from the folder on that was searched.
    """

    question: str
    code: str
    name: str
    path: str


def read_pairs(paths: Sequence[Path], *, progress: Progress | None = None) -> list[Pair]:
    """The pairs in all files of ``paths``, each a repository, a folder of packages or a file.

    Raises:
        DataError: there is nothing at a path.
        MissingExtraError: tree-sitter is not installed.
    """
    progress = progress or Progress()
    units: list[Unit] = []
    for root in paths:
        if not root.exists():
            raise DataError(f"path {root}", got="nothing there", expected="a folder or file", remedy="Check the path")
        left_out: dict[Path, str] = {}
        files = [path for path in walk(root, left_out=left_out) if language_of(path) is not None]
        for path, reason in left_out.items():
            progress.say(f"Left out {path}: {reason}")
        for path in progress.track(files, label=f"read {root.name}"):
            source = read_source(path, root=root)
            if isinstance(source, SourceFile) and why_dropped(source) is None:
                path_in = source.name if root.is_file() else f"{root.resolve().name}/{source.name}"
                units += [replace(unit, path=path_in) for unit in units_of(source) if unit.kind == "function"]
    return pairs_of(units)


def pairs_of(units: Iterable[Unit]) -> list[Pair]:
    """The pairs in ``units``, in their order, each question and each code once.

    Left out are functions whose first paragraph has fewer than 4 words or only lists parameters, and functions of fewer
    than 20 words.
    """
    pairs: list[Pair] = []
    seen: set[str] = set()
    for unit in units:
        if unit.kind != "function" or not unit.docstring:
            continue
        question = _question(unit.docstring)
        code = without_docstring(unit)
        keys = {" ".join(_WORD.findall(text.lower())) for text in (question, code)}
        if len(_WORD.findall(question)) < _MIN_WORDS or len(_WORD.findall(code)) < _MIN_CODE_WORDS or keys & seen:
            continue
        seen |= keys
        pairs.append(Pair(question, code, unit.name, unit.path))
    return pairs


def _question(docstring: str) -> str:
    """The first paragraph, up to where parameters are listed, on one line."""
    text = docstring.strip()
    listed = _PARAMETERS.search(text)
    paragraph = re.split(r"\n\s*\n", text[: listed.start()] if listed else text, maxsplit=1)[0]
    return " ".join(paragraph.split())[:_MAX_QUESTION]


def without_docstring(unit: Unit) -> str:
    """The code of ``unit`` alone; only in Python the docstring stands inside.

    Raises:
        MissingExtraError: tree-sitter is not installed.
    """
    if unit.language != "python":
        return unit.text
    place = _string_that_opens(parse(unit.text, "python").root_node)
    if place is None:
        return unit.text
    content = unit.text.encode("utf-8", "replace")
    before, after = content[: place.start_byte].rstrip(b" \t"), content[place.end_byte :].lstrip(b" \t;")
    return (before + after.removeprefix(b"\n")).decode("utf-8")


def _string_that_opens(root: tree_sitter.Node) -> tree_sitter.Node | None:
    """The statement that is the docstring of the first function below ``root``."""
    function: tree_sitter.Node | None = root
    while function is not None and function.type != "function_definition":
        inner = [node for node in function.named_children if node.type.endswith("_definition")]
        function = inner[0] if inner else None
    body = None if function is None else function.child_by_field_name("body")
    first = None if body is None else next((node for node in body.named_children if node.type != "comment"), None)
    if first is None:
        return None
    string = first.named_children[0] if first.type == "expression_statement" and first.named_children else first
    return first if string.type == "string" else None

"""Which language a file is written in, how its comments begin, and its syntax tree.

Grammars come bundled with the package tree-sitter-language-pack; nothing is downloaded. It reads no file and judges
no content: a name is all it asks for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import PurePath
from typing import TYPE_CHECKING

from tonggan.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import tree_sitter

_SUFFIXES = {
    "python": ".py .pyi .pyw .ipynb",
    "javascript": ".js .jsx .mjs .cjs",
    "typescript": ".ts .mts .cts",
    "tsx": ".tsx",
    "java": ".java",
    "c": ".c .h",
    "cpp": ".cpp .cc .cxx .hpp .hh .hxx .ipp .cu .cuh",
    "csharp": ".cs",
    "go": ".go",
    "rust": ".rs",
    "bash": ".sh .bash .zsh",
    "php": ".php",
    "ruby": ".rb .rake .gemspec",
    "kotlin": ".kt .kts",
    "swift": ".swift",
    "scala": ".scala .sc",
    "lua": ".lua",
    "sql": ".sql",
    "r": ".r",
    "julia": ".jl",
    "html": ".html .htm",
    "css": ".css",
    "scss": ".scss",
    "yaml": ".yaml .yml",
    "toml": ".toml",
    "json": ".json",
    "markdown": ".md .markdown",
    "rst": ".rst",
    "text": ".txt",
    "make": ".mk",
    "dockerfile": ".dockerfile",
    "cmake": ".cmake",
}
LANGUAGES = tuple(_SUFFIXES)
"""All that ``language_of`` names."""
_NAMES = {
    "makefile": "make",
    "gnumakefile": "make",
    "dockerfile": "dockerfile",
    "cmakelists.txt": "cmake",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "readme": "text",
}
_LANGUAGE_OF_SUFFIX = {suffix: language for language, row in _SUFFIXES.items() for suffix in row.split()}
_COMMENTS = {
    "#": "python bash ruby r julia yaml toml make dockerfile cmake",
    "//": "javascript typescript tsx java c cpp csharp go rust php kotlin swift scala scss",
    "--": "lua sql",
}
_COMMENT_OF_LANGUAGE = {language: start for start, row in _COMMENTS.items() for language in row.split()}

_PIECE = 1 << 16  # bytes that the parser is handed at once
_MAX_DEPTH = 500  # of the nodes that are looked at
_MAX_DEPTHS = {"yaml": 100, "markdown": 100, "kotlin": 500}  # where the process would end: 253, 253 and 1013
_BLOCK = re.compile(r"[>?*+-]|\d{1,9}[.)]")
_BLOCKS = re.compile(r"(?:[ \t]*+(?:[>?*+-]|\d{1,9}[.)])(?=[\s>]|$))*+[ \t]*+")
_BRACES = re.compile(r"[{}]")
_STEPS = {"{": 1, "}": -1}


def language_of(path: str | PurePath) -> str | None:
    """The language of a file by its name, as tree-sitter names it (``text`` for plain text); None if unknown.

    A notebook is ``python``: its code cells are what is read.
    """
    name = PurePath(path).name.lower()
    return _NAMES.get(name) or _LANGUAGE_OF_SUFFIX.get(PurePath(name).suffix)


PROSE = frozenset({"markdown", "rst", "text"})
"""Languages of documents, whose lines are no code, whether they have a grammar or not."""


def comment_of(language: str | None) -> str | None:
    """What starts a line's comment in ``language``; None where it has no such comments, or is unknown."""
    return _COMMENT_OF_LANGUAGE.get(language) if language else None


def title_line(name: str, language: str | None) -> str:
    """The line before a piece of code that says which file it is of, as models learn it and are asked with it."""
    return f"{comment_of(language) or '#'} {name}\n"


def has_grammar(language: str | None) -> bool:
    """Whether ``parse`` knows ``language``."""
    return language is not None and language in _SUFFIXES and language != "text"


def parse(text: str, language: str, *, old: tree_sitter.Tree | None = None, seconds: float = 5.0) -> tree_sitter.Tree:
    """The syntax tree of ``text``; code that is broken or unfinished gets one too, with error nodes in it.

    Columns and offsets of its nodes count bytes of the text in UTF-8.

    Args:
        text: of a file.
        language: as ``language_of`` names it.
        old: the tree of a former text, edited to the places of this one; it saves most of the work.
        seconds: of processor time that it may take; 2 MB of code take one.

    Raises:
        DataError: it takes longer or is nested too deeply, as no code does that somebody wrote.
        MissingExtraError: tree-sitter is not installed.
    """
    import tree_sitter

    if _is_too_deep(text, language):
        raise _unparsed(language, f"a text that is nested more than {_MAX_DEPTHS[language]} deep")
    content = text.encode("utf-8", "replace")
    end = time.thread_time() + seconds
    parser = tree_sitter.Parser(grammar(language))

    def piece(start: int, _: object) -> bytes:
        return content[start : start + _PIECE]

    def is_late(*_: object) -> bool:
        return time.thread_time() > end

    try:
        if old is None:
            return parser.parse(piece, progress_callback=is_late)
        return parser.parse(piece, old, progress_callback=is_late)
    except ValueError as error:  # what the parser says when it is stopped
        raise _unparsed(language, f"{len(content):,} bytes that take longer than {seconds:g} s") from error


def nodes_of(tree: tree_sitter.Tree) -> Iterator[tuple[tree_sitter.Node, tree_sitter.Node | None]]:
    """The named nodes of a tree with what they stand in, outer before inner, left before right.

    Nodes more than 500 deep are left out. It takes as long as the tree is large; a query, or a node's ``parent``, takes
    as long as the tree is deep, for each node.
    """
    cursor = tree.walk()
    above: list[tree_sitter.Node] = []
    while True:
        node = cursor.node
        assert node is not None, "the cursor stands in the tree"
        if node.is_named:
            yield node, above[-1] if above else None
        if len(above) < _MAX_DEPTH and cursor.goto_first_child():
            above.append(node)
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            above.pop()


def _unparsed(language: str, got: str) -> DataError:
    return DataError(
        f"parsing {language}", got=got, expected="code written by hand", remedy="Leave the file out by .gitignore"
    )


def _is_too_deep(text: str, language: str) -> bool:
    """Whether a grammar would write past the end of its memory and end the process, as a few do on deep nesting."""
    most = _MAX_DEPTHS.get(language)
    if most is None:
        return False
    if language == "kotlin":
        return text.count("${") > most and max(accumulate(_STEPS[brace] for brace in _BRACES.findall(text))) > most
    columns: list[int] = []  # where the blocks begin that are open
    for line in text.split("\n"):
        head = _BLOCKS.match(line)
        assert head is not None, "the pattern may be empty"
        if head.end() == len(line) and not line.strip():
            continue
        for column in [*(mark.start() for mark in _BLOCK.finditer(head[0])), head.end()]:
            while columns and columns[-1] >= column:
                columns.pop()
            columns.append(column)
        if len(columns) > most:
            return True
    return False


@cache
def grammar(language: str) -> tree_sitter.Language:
    """The grammar of ``language``, loaded once.

    Raises:
        MissingExtraError: tree-sitter is not installed.
    """
    try:
        from tree_sitter_language_pack import get_language
    except ImportError as error:
        raise MissingExtraError.of("tree-sitter-language-pack", extra="code", purpose=f"parsing {language}") from error
    assert has_grammar(language), language
    language_object: tree_sitter.Language = get_language(language)  # type: ignore[arg-type]
    return language_object

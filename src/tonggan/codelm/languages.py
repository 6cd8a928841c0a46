"""Which language a file is written in, how its comments begin, and its syntax tree.

Grammars come bundled with the package tree-sitter-language-pack; nothing is downloaded. It reads no file and judges
no content: a name is all it asks for.
"""

from __future__ import annotations

from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from tonggan.errors import MissingExtraError

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


def parse(text: str, language: str) -> tree_sitter.Tree:
    """The syntax tree of ``text``; code that is broken or unfinished gets one too, with error nodes in it.

    Columns and offsets of its nodes count bytes of the text in UTF-8.

    Raises:
        MissingExtraError: tree-sitter is not installed.
    """
    import tree_sitter

    return tree_sitter.Parser(grammar(language)).parse(text.encode("utf-8", "replace"))


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

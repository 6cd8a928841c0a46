"""The code blocks of Markdown and reStructuredText, with the lines where they stand, and examples to be run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*\{?\.?(?P<language>[\w+-]*)(?P<rest>[^`]*)$")
_DIRECTIVE = re.compile(r"^(?P<indent>\s*)\.\.\s+(?:code-block|code|sourcecode)::\s*(?P<language>[\w+-]*)\s*$")
_PROMPT = re.compile(r"^(\s*)(?:>>>|\.\.\.)(?: |$)")
_PYTHON = {"python", "python3", "py", "pycon", "py3"}
_SHELL = {"bash", "sh", "shell", "console", "shell-session", "zsh"}


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        language: ``python`` or ``shell``.
        lines: of the code, without indent and prompts; what a prompt answers is empty.
        start: the line of the first, from 1.
        indent: characters before the code in its lines; a prompt's are in ``prompt``.
        prompt: characters of a prompt.
    """

    language: str
    lines: tuple[str, ...]
    start: int
    indent: int
    prompt: int = 0

    @property
    def text(self) -> str:
        """The code."""
        return "\n".join(self.lines) + "\n"

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Line and column in the document, both from 1, of those in the block."""
        return self.start + line - 1, self.indent + self.prompt + column


@dataclass(frozen=True)
class Example:
    """One example: a line or more after a prompt, or a block of a document.

    Attributes:
        line: where it begins in its file.
        source: its code.
        want: the output that it shows; empty where it shows none.
        raises: the error that it shows.
        options: of doctest, by their names.
        is_session: whether it stands after a prompt, where the value of an expression is printed.
    """

    line: int
    source: str
    want: str = ""
    raises: str | None = None
    options: tuple[str, ...] = ()
    is_session: bool = True


@dataclass(frozen=True)
class FailedExample:
    """An example that does not do what it shows, in two runs.

    Attributes:
        path: of the file.
        example: as it is written.
        has_raised: whether it raises what it does not show; it prints something else otherwise.
        got: what it printed or raised.
    """

    path: str
    example: Example
    has_raised: bool
    got: str


def blocks_in(text: str) -> Iterator[Block]:
    """The blocks of Python and of shell commands in a document."""
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        fence, directive = _FENCE.match(lines[place]), _DIRECTIVE.match(lines[place])
        if fence:
            end = place + 1
            closing = re.compile(rf"\s*{fence['fence'][0]}{{{len(fence['fence'])},}}\s*$")
            while end < len(lines) and not closing.match(lines[end]):
                end += 1
            yield from _block(fence["language"], lines[place + 1 : end], place + 2)
            place = end
        elif directive:
            end = place + 1
            indent = len(directive["indent"])
            while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
                end += 1
            start = place + 1
            while start < end and (not lines[start].strip() or lines[start].strip().startswith(":")):
                start += 1
            yield from _block(directive["language"], lines[start:end], start + 1)
            place = end - 1
        place += 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _block(language: str, lines: list[str], start: int) -> Iterator[Block]:
    name = language.lower()
    if name not in _PYTHON | _SHELL or not any(line.strip() for line in lines):
        return
    indent = min(_indent(line) for line in lines if line.strip())
    bare = dedent("\n".join(lines)).split("\n")
    prompt = 0
    if name in _PYTHON and any(_PROMPT.match(line) for line in bare):
        bare = [line[4:] if _PROMPT.match(line) else "" for line in bare]
        prompt = 4
    yield Block("python" if name in _PYTHON else "shell", tuple(bare), start, indent, prompt)

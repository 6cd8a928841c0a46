"""Reading examples out of Markdown, and running their commands in this process."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the comment right above it, and the line it starts at."""

    language: str
    text: str
    note: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["text"], match["note"] or "", text.count("\n", 0, match.start()) + 1)
        for match in FENCE.finditer(text)
    ]


@dataclass(frozen=True)
class Command:
    """One line of a bash block: variables set for it, words, and the file that takes its output."""

    variables: dict[str, str]
    words: list[str]
    output: str | None


def commands_of(text: str) -> Iterator[Command]:
    """The commands of a bash block, of the simple kind that the pages use; anything else is refused."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="><|;&")
        lexer.whitespace_split = True
        words = list(lexer)
        output = None
        if ">" in words:
            *words, sign, output = words
            assert sign == ">", f"an example redirects in a way that is not understood: {line}"
        assert not set("".join(words[:1])) & set("|;&"), line
        variables = {}
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        if words:
            yield Command(variables, words, output)


def run_tonggan(words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a ``tonggan`` command."""
    from tonggan.cli.app import main

    output, errors = io.StringIO(), io.StringIO()
    code: object = 0
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            main(words[1:])
    except SystemExit as stop:
        code = stop.code
    return int(str(code or 0)), output.getvalue(), errors.getvalue()


def run_python(text: str, *, page: str) -> str:
    """Stdout of a Python example."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(text, page, "exec"), {"__name__": "__main__"})
    return output.getvalue()


def run_command(command: Command) -> str:
    """All that a command prints; a word about it where it fails."""
    program, *_ = command.words
    if program == "cat":
        return "".join(Path(name).read_text(encoding="utf-8") for name in command.words[1:])
    assert program == "tonggan", f"mark this example with <!-- check only -->: {command.words}"
    before = dict(os.environ)
    os.environ.update(command.variables)
    try:
        code, output, errors = run_tonggan(command.words)
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert code == 0, f"{shlex.join(command.words)} exits with {code}:\n{errors}\n{output}"
    if command.output is not None:
        Path(command.output).write_text(output, encoding="utf-8")
        output = ""
    return errors + output


def shows(shown: str, printed: str) -> str | None:
    """The first line of a shown output that was not printed, in order; None where all were.

    Numbers may differ, runs of spaces do not count, and ``…`` stands for anything, alone also for any lines.
    """
    printed = _plain(printed)
    place = 0
    for line in shown.splitlines():
        if line.strip() in ("", "…"):
            continue
        pattern = r".*?".join(re.escape(part) for part in _plain(line).split("…"))
        found = re.compile(pattern).search(printed, place)
        if found is None:
            return line
        place = found.end()
    return None


def _plain(text: str) -> str:
    return re.sub(r"[ \t]+", " ", re.sub(r"(?<!\w)-?\d[\d,.:]*", "0", text))

"""Command lines in Markdown and reStructuredText with options that the repository's programs do not have."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tonggan.codelm.review.blocks import Block, blocks_in
from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Module
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository
from tonggan.codelm.source_file import read_bytes

OPTION = "document-option"
_PARSERS = ("argparse", "typer", "click", "optparse")
_OPTION = re.compile(r"--[A-Za-z][\w-]*")
_BEFORE = {"uv", "run", "poetry", "sudo", "time", "env", "$", "%", "pipx", "uvx"}
_ALWAYS = {"--help", "--version", "--install-completion", "--show-completion"}
_MOST_BYTES = 1_000_000
_PYTHON = re.compile(r"python[\d.]*")


@rule(OPTION)
def unknown_options(repository: Repository) -> Iterator[Finding]:
    """A command line in a document has an option that no part of the repository's program defines.

    Programs are those that ``[project.scripts]`` names, ``python FILE`` and ``python -m MODULE``. Whatever the code
    that the program imports writes as an option, or has as a parameter of a function, counts as defined. Known false
    alarms: options that another package adds.
    """
    programs = _programs(repository.root)
    known: dict[str, set[str] | None] = {}
    for path, source in sorted(repository.documents.items()):
        if path not in repository.reviewed or "change" in path.lower() or "history" in path.lower():
            continue
        for block in blocks_in(source.text):
            for line, words in _commands(block) if block.language == "shell" else ():
                name, rest = _program(words, programs)
                if name is None:
                    continue
                if name not in known:
                    known[name] = _options(repository, name)
                options = known[name]
                for option in rest if options is not None else ():
                    if options is not None and not any(each.startswith(option) for each in options):
                        yield _finding(path, block, line, option, name)


def _finding(path: str, block: Block, line: int, option: str, program: str) -> Finding:
    number = line
    while number < len(block.lines) and option not in block.lines[number - 1]:
        number += 1
    text = block.lines[number - 1]
    at, column = block.place(number, max(text.find(option), 0) + 1)
    message = f"the command has the option {option}, which {program} does not define"
    shown = (Evidence(text.strip(), path, at),)
    return Finding(OPTION, path, at, at, column, column + len(option), message, shown, 0.9)


def _programs(root: Path) -> dict[str, str]:
    """Module of each program that the project installs."""
    content = read_bytes(root / "pyproject.toml", _MOST_BYTES)
    try:
        data = tomllib.loads(content.decode("utf-8")) if isinstance(content, bytes) else {}
        scripts = data.get("project", {}).get("scripts", {})
        return {str(name): str(target).partition(":")[0] for name, target in scripts.items()}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Each command with its line in the block."""
    waiting, start = "", 0
    for number, line in enumerate(block.lines, start=1):
        start = start if waiting else number
        waiting += line
        if waiting.endswith("\\"):
            waiting = waiting[:-1] + " "
            continue
        for part in re.split(r"\|\|?|&&|;|>", waiting):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                words = []
            while words and (words[0] in _BEFORE or re.fullmatch(r"\w+=.*", words[0])):
                del words[0]
            if words:
                yield start, words
        waiting = ""


def _program(words: list[str], programs: dict[str, str]) -> tuple[str | None, list[str]]:
    """The module or the file that a command runs, and its long options."""
    first, *rest = words
    name = None
    if first in programs:
        name = programs[first]
    elif _PYTHON.fullmatch(first) and len(rest) > 1 and rest[0] == "-m":
        name, rest = rest[1], rest[2:]
    elif _PYTHON.fullmatch(first) and rest and rest[0].endswith(".py"):
        name, rest = rest[0], rest[1:]
    if "--" in rest:
        rest = rest[: rest.index("--")]
    return name, [found[0] for each in rest if (found := _OPTION.match(each))]


def _options(repository: Repository, program: str) -> set[str] | None:
    """What a program may define; None where it is not this repository's, or reads its options in another way."""
    start = repository.at(program) if program.endswith(".py") else repository.module(program)
    start = start or repository.module(f"{program}.__main__")
    if start is None:
        return None
    found, seen, waiting, parses = set(_ALWAYS), set[str](), [start], False
    while waiting:
        module = waiting.pop()
        if module.path in seen:
            continue
        seen.add(module.path)
        parses = parses or any(target.split(".")[0] in _PARSERS for target, _ in module.imports.values())
        if "parse_known_args" in module.source.text or "ignore_unknown_options" in module.source.text:
            return None
        found |= _written(module)
        for target, name in module.imports.values():
            inside = [repository.module(target), repository.module(f"{target}.{name}") if name else None]
            waiting += [each for each in inside if each is not None]
        package = module.name.rpartition(".")[0]
        main = repository.module(package) if package else None
        waiting += [main] if main is not None else []
    return found if parses else None


def _written(module: Module) -> set[str]:
    """Options in strings, and those that typer and fire make of parameters and fields."""
    found: set[str] = set()
    for node, _ in module.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "--" in node.value:
            found.update(_OPTION.findall(node.value))
        elif isinstance(node, ast.arg):
            plain = node.arg.strip("_").replace("_", "-")
            found |= {f"--{plain}", f"--no-{plain}", f"--{node.arg}"}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            plain = node.target.id.replace("_", "-")
            found |= {f"--{plain}", f"--no-{plain}", f"--{node.target.id}"}
    return found

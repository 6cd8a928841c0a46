"""What a review does not tell: lines that did not change, what a comment hides, and what ruff says already.

Changed lines are found without git's own comparison, which would run filters of the repository. Ruff is asked where it
is configured and installed.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.registry import rules
from tonggan.codelm.review.repository import Repository
from tonggan.codelm.source_file import MAX_BYTES, read_bytes
from tonggan.errors import ConfigError

_SUFFIXES = (".py", ".md", ".markdown", ".rst")
_SECONDS = 60.0
_CONFIGS = ("ruff.toml", ".ruff.toml")
_FENCES = ("```", "~~~")
_QUOTED = re.compile(r"'([^']+)'")
_IGNORED = re.compile(r"(?:#|<!--|\.\.)\s*tonggan:\s*ignore(?:\[([\w\s,-]+)\])?")


def changed_lines(root: Path, base: str) -> dict[str, set[int]]:
    """The changed lines of each file by its path, counted from 1; where lines are gone, those around the place.

    Args:
        root: of the repository.
        base: a commit, branch or tag; what counts is where the present one left it.

    Raises:
        ConfigError: git knows no such commit, or there is no repository.
    """
    commit = _ask(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if not commit:
        raise ConfigError(
            "--diff", got=f"'{base}'", expected="a commit, branch or tag of this repository", remedy="See: git log"
        )
    start = _ask(root, "merge-base", commit, "HEAD") or commit
    tree = run_git(root, "ls-tree", "-r", "-z", "--full-tree", start) or b""
    former = dict(_entry(line) for line in tree.split(b"\0") if b" blob " in line)
    tracked = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard") or b""
    found: dict[str, set[int]] = {}
    for name in map(os.fsdecode, tracked.split(b"\0")):
        content = read_bytes(root / name, MAX_BYTES) if name.endswith(_SUFFIXES) else None
        if isinstance(content, bytes) and former.get(name) != _digest(content, former.get(name, "")):
            old = run_git(root, "cat-file", "blob", former[name]) if name in former else b""
            found[name] = _new_lines(_lines(old or b""), _lines(content))
    return found


def _ask(root: Path, question: str, *arguments: str) -> str:
    answer = run_git(root, question, *arguments)  # type: ignore[arg-type]
    return (answer or b"").decode("ascii", "replace").strip()


def _entry(line: bytes) -> tuple[str, str]:
    head, _, name = line.partition(b"\t")
    return os.fsdecode(name), head.split()[2].decode("ascii")


def _digest(content: bytes, like: str) -> str:
    """The name that git gives a file's content, with the hash that the repository uses."""
    kind = "sha256" if len(like) == 64 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _lines(content: bytes) -> list[bytes]:
    return content.replace(b"\r\n", b"\n").split(b"\n")


def _new_lines(old: list[bytes], new: list[bytes]) -> set[int]:
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    matcher = SequenceMatcher(None, old[first : len(old) - last], new[first : len(new) - last])
    found: set[int] = set()
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag == "delete":
            found |= {first + start, first + start + 1}
        elif tag != "equal":
            found |= set(range(first + start + 1, first + end + 1))
    return found


def is_changed(finding: Finding, changed: Mapping[str, Collection[int]], repository: Repository) -> bool:
    """Whether a finding or its evidence is on changed lines, or the head of the function that it is in."""
    lines = changed.get(finding.path, ())
    if any(line in lines for line in range(finding.start_line, finding.end_line + 1)):
        return True
    if any(each.path is not None and each.line in changed.get(each.path, ()) for each in finding.evidence):
        return True
    module = repository.at(finding.path)
    inside = [
        each
        for each in (module.definitions if module else ())
        if each.node.lineno <= finding.start_line <= (each.node.end_lineno or 0)
    ]
    return any(line in lines for each in inside[-1:] for line in range(each.node.lineno, each.node.body[0].lineno))


def is_ignored(finding: Finding, repository: Repository) -> bool:
    """Whether ``# tonggan: ignore[rule]`` stands on its lines, on the last line of its docstring or on its ``def``."""
    module, lines = repository.at(finding.path), repository.lines_of(finding.path)
    looked_at = set(range(finding.start_line, finding.end_line + 1))
    if module is None:
        fences = (number for number in range(finding.start_line, 0, -1) if lines[number - 1].lstrip()[:3] in _FENCES)
        looked_at |= {finding.start_line - 1, next(fences, 1) - 1}
    for each in module.definitions if module else ():
        first = each.node.body[0]
        end = first.end_lineno or first.lineno
        if each.node.lineno <= finding.start_line <= end and isinstance(first, ast.Expr):
            looked_at |= {*range(each.node.lineno, first.lineno), end}
    for number in looked_at:
        for match in _IGNORED.finditer(lines[number - 1]) if 0 < number <= len(lines) else ():
            if match[1] is None or finding.rule in {name.strip() for name in match[1].split(",")}:
                return True
    return False


def without_linted(findings: Sequence[Finding], repository: Repository) -> list[Finding]:
    """The findings that ruff does not have: by a rule of the same meaning, at the line or in the same definition."""
    codes = {code for finding in findings for code in rules()[finding.rule].ruff}
    if not codes or not _is_configured(repository.root):
        return list(findings)
    said = _said(repository.root, sorted({finding.path for finding in findings}))
    return [finding for finding in findings if not _is_said(finding, said, repository)]


def _is_configured(root: Path) -> bool:
    if any((root / name).is_file() for name in _CONFIGS):
        return True
    try:
        return "[tool.ruff" in (root / "pyproject.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _said(root: Path, paths: list[str]) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """Lines and messages by path and code; empty where ruff is not installed or fails."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--no-fix", "--exit-zero", "--output-format=json"]
    try:
        done = subprocess.run(
            [*command, "--", *paths], cwd=root, capture_output=True, timeout=_SECONDS, check=False, text=True
        )
        entries = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return {}
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for entry in entries:
        path = Path(entry["filename"])
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        found.setdefault((name, str(entry["code"])), []).append((entry["location"]["row"], entry["message"]))
    return found


def _is_said(finding: Finding, said: dict[tuple[str, str], list[tuple[int, str]]], repository: Repository) -> bool:
    module = repository.at(finding.path)
    lines = {finding.start_line}
    for each in module.definitions if module else ():
        if each.node.lineno <= finding.start_line <= (each.node.end_lineno or 0):
            lines.add(each.node.lineno)
    named = _QUOTED.search(finding.message)
    for code in rules()[finding.rule].ruff:
        for line, message in said.get((finding.path, code), ()):
            same_name = named is None or named[1] in message
            if line == finding.start_line or (line in lines and same_name):
                return True
    return False

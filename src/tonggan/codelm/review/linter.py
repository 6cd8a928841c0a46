"""What ruff says of a repository, where it is configured there and installed: a review does not say it again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.registry import rules
from tonggan.codelm.review.repository import Repository

_SECONDS = 60.0
_CONFIGS = ("ruff.toml", ".ruff.toml")
_QUOTED = re.compile(r"'([^']+)'")


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

"""Small repositories for tests of review."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tonggan.codelm.review import Finding, review


def written(folder: Path, files: dict[str, str]) -> Path:
    """``folder`` with these files in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return folder


def findings_in(folder: Path, text: str, *rules: str, **others: str) -> list[Finding]:
    """What review finds in ``text``, the file ``a.py`` of a repository, by rules."""
    files = {"a.py": text, **{f"{name}.py": other for name, other in others.items()}}
    return list(review([written(folder, files)], only=rules).findings)


def messages(folder: Path, text: str, *rules: str, **others: str) -> list[str]:
    """Their messages."""
    return [finding.message for finding in findings_in(folder, text, *rules, **others)]

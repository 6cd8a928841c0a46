"""Writes proposals to the user's files: each whole or not at all, and none that git would not give back."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.optimization.proposals import Report
from tonggan.errors import DataError
from tonggan.files import whole_file


def apply(report: Report) -> list[Path]:
    """Write the proposals of ``report``; the files that were written.

    Raises:
        DataError: a file has changed since it was read, or has changes that are not committed: none is written.
    """
    changed = report.changed()
    before = {each.function.module.path: each.function.module.content for each in report.proposals}
    for path in changed:
        _check(path, before[path])
    for path, content in changed.items():
        mode = path.stat().st_mode
        with whole_file(path) as partial:
            partial.write_bytes(content)
            partial.chmod(mode)
    return list(changed)


def _check(path: Path, content: bytes) -> None:
    who = f"--apply to {path}"
    if path.is_symlink() or path.read_bytes() != content:
        raise DataError(who, got="a file that has changed since it was read", expected="it as it was measured",
                        remedy="Run the command again")  # fmt: skip
    if run_git(path.parent, "rev-parse", "--is-inside-work-tree") is None:
        return
    known = run_git(path.parent, "rev-parse", "--verify", "--quiet", f"HEAD:./{path.name}")
    if known is None or known.decode().strip() != _blob(content, known):
        raise DataError(who, got="changes that are not committed", expected="a file as git has it, so that it can be "
                        "given back", remedy="Commit or stash them first")  # fmt: skip


def _blob(content: bytes, known: bytes) -> str:
    """The name that git has for ``content``, by the hash function of the repository."""
    algorithm = hashlib.sha256 if len(known.strip()) == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()

"""A file that keeps what was found before, so that only what is new is told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tonggan.codelm.review.finding import Finding
from tonggan.errors import DataError
from tonggan.files import whole_file

_VERSION = 1


def read_baseline(path: Path) -> set[str]:
    """The fingerprints that are kept at ``path``.

    Raises:
        DataError: there is no such file, or it is no baseline.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] == _VERSION:
            return {str(each["fingerprint"]) for each in content["findings"]}
        got = f"version {content['version']!r}"
    except OSError as error:
        got = error.strerror or str(error)
    except (ValueError, TypeError, KeyError, RecursionError):
        got = "a file that is none"
    raise DataError(
        f"baseline {path}",
        got=got,
        expected="a file of --write-baseline",
        remedy="Write it anew with --write-baseline",
    )


def write_baseline(path: Path, findings: Iterable[Finding]) -> None:
    """Keep ``findings`` at ``path``, with what a person needs to read them; an older file is replaced at once."""
    ordered = sorted(findings, key=lambda each: (each.path, each.rule, each.fingerprint))
    kept = [
        {"fingerprint": each.fingerprint, "rule": each.rule, "path": each.path, "message": each.message}
        for each in ordered
    ]
    text = json.dumps({"version": _VERSION, "findings": kept}, indent=1, ensure_ascii=False) + "\n"
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")

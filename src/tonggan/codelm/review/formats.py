"""A review as SARIF 2.1.0, as a page of HTML, and as a baseline: a file that keeps what was found before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tonggan.codelm.review.applying import Failure
from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.registry import rules
from tonggan.codelm.review.reviewing import Review
from tonggan.errors import DataError
from tonggan.files import whole_file
from tonggan.wording import catalog

FINGERPRINT = "tonggan/v1"
_SURE = 0.9
_VERSION = 1  # of a baseline


def to_sarif(review: Review) -> dict[str, Any]:
    """The review as one run of a tool; its lines and columns count characters from 1."""
    known = [rule for name, rule in rules().items()]
    driver = {
        "name": "Tonggan",
        "version": version("tonggan"),
        "rules": [
            {
                "id": rule.name,
                "shortDescription": {"text": f"{rule.summary}."},
                "fullDescription": {"text": " ".join((rule.check.__doc__ or "").split())},
            }
            for rule in known
        ],
    }
    index = {rule.name: place for place, rule in enumerate(known)}
    notes = [
        {"level": "warning", "message": {"text": f"Not reviewed: {name}: {problem}"}}
        for name, problem in sorted(review.problems.items())
    ] + [_failed(each) for each in review.failures]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"ROOT": {"uri": f"{review.root.as_uri()}/"}},
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
                "results": [_result(finding, index[finding.rule]) for finding in review.findings],
            }
        ],
    }


def _failed(failure: Failure) -> dict[str, Any]:
    """A notification of a rule that raised."""
    noted: dict[str, Any] = {
        "level": "error",
        "message": {"text": f"Not applied: {failure.rule}: {failure.error}"},
        "associatedRule": {"id": failure.rule},
    }
    if failure.path is not None:
        noted["locations"] = [{"physicalLocation": _artifact(failure.path)}]
    return noted


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    region = {
        "startLine": finding.start_line,
        "startColumn": finding.start_column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": "warning" if finding.confidence >= _SURE else "note",
        "message": {"text": f"{finding.message}."},
        "rank": round(100 * finding.confidence, 1),
        "locations": [{"physicalLocation": {**_artifact(finding.path), "region": region}}],
        "relatedLocations": [
            _related(number, each, each.path, each.line)
            for number, each in enumerate(finding.evidence)
            if each.path is not None and each.line is not None
        ],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
    }
    if finding.edit is not None:
        edit = finding.edit
        deleted = {
            "startLine": edit.start_line,
            "startColumn": edit.start_column,
            "endLine": edit.end_line,
            "endColumn": edit.end_column,
        }
        change = {
            **_artifact(finding.path),
            "replacements": [{"deletedRegion": deleted, "insertedContent": {"text": edit.text}}],
        }
        result["fixes"] = [{"description": {"text": f"Write {edit.text}"}, "artifactChanges": [change]}]
    return result


def _artifact(path: str) -> dict[str, Any]:
    return {"artifactLocation": {"uri": quote(path), "uriBaseId": "ROOT"}}


def _related(number: int, each: Evidence, path: str, line: int) -> dict[str, Any]:
    return {
        "id": number,
        "message": {"text": each.text},
        "physicalLocation": {**_artifact(path), "region": {"startLine": line}},
    }


def to_html(review: Review) -> str:
    """The review as one self-contained page in English and Chinese, in the frame of the reports of runs."""
    from tonggan.evaluation.report import page

    return page("review.html", content=review, in_chinese=catalog().translate)


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
        got = "a file that is not a baseline"
    raise DataError(
        f"baseline {path}",
        got=got,
        expected="a file of --write-baseline",
        remedy="Write it again with --write-baseline",
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

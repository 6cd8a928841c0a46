"""A review as SARIF 2.1.0, which code hosts and editors show."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.registry import rules
from tonggan.codelm.review.reviewing import Review

FINGERPRINT = "tonggan/v1"
_SURE = 0.9


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
    ]
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

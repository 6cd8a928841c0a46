"""What a corpus was made of: what was kept and what was left out and why, for a person and as JSON."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tonggan.codelm.corpus.cleaning import Cleaned
from tonggan.codelm.corpus.shards import REMAKE
from tonggan.files import whole_file
from tonggan.stored import Record, read_record

NUM_EXAMPLES = 5
_NUM_ROWS = 25  # of a table for a person; all are in the JSON

REPORT_JSON, REPORT_HTML = "report.json", "report.html"


_Counts = dict[Literal["files", "bytes", "tokens"], int]


class _Dropped(Record):
    files: int
    bytes: int
    examples: list[str] = Field(min_length=1)


class _Secrets(Record):
    count: int
    files: int
    examples: list[str]


class _ReportFile(Record):
    """The content of ``report.json``."""

    kept: _Counts
    by: dict[Literal["language", "license", "repository"], dict[str, _Counts]] = Field(min_length=3)
    dropped: dict[str, _Dropped]
    secrets: dict[str, _Secrets]
    left_out: dict[str, str]
    against: list[str]
    megabytes: float
    tokenized: float
    seconds: dict[str, float]


@dataclass
class CorpusReport:
    """Counts of one corpus.

    Attributes:
        kept: files, bytes and tokens in all.
        by: the same by ``language``, ``license`` and ``repository``, the largest first.
        dropped: by reason its files and bytes and, in ``examples``, the first of them.
        secrets: by kind how many were replaced, in how many files, and where the first of them were; never what.
        against: the benchmarks and files that were looked for.
        megabytes: that were read; files that are too large or vanished are not.
        tokenized: megabytes that the last build tokenized; what an interrupted one had written it does not do again.
        seconds: by stage: ``clean`` of processor time, interrupted builds included; ``duplicates`` and ``tokens`` of
            wall-clock time, of the last build.
        left_out: what is no file and went past a limit, by its path, with the reason: a ``.gitignore``, a call of git.
    """

    kept: Counter[str] = field(default_factory=Counter)
    by: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: {"language": {}, "license": {}, "repository": {}}
    )
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    against: list[str] = field(default_factory=list)
    megabytes: float = 0.0
    tokenized: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def keep(self, cleaned: Cleaned, *, num_tokens: int) -> None:
        """Count a file of the corpus."""
        self._read(cleaned)
        counts = {"files": 1, "bytes": len(cleaned.text.encode("utf-8")), "tokens": num_tokens}
        self.kept.update(counts)
        for name, groups in self.by.items():
            groups.setdefault(str(getattr(cleaned, name)), Counter()).update(counts)
        for kind in {kind for kind, _ in cleaned.secrets}:
            lines = [line for found, line in cleaned.secrets if found == kind]
            entry = self.secrets.setdefault(kind, {"count": 0, "files": 0, "examples": []})
            entry["count"] += len(lines)
            entry["files"] += 1
            if len(entry["examples"]) < NUM_EXAMPLES:
                entry["examples"].append(f"{cleaned.key}:{lines[0]}")

    def drop(self, cleaned: Cleaned, reason: str, detail: str) -> None:
        """Count a file that was left out."""
        self._read(cleaned)
        entry = self.dropped.setdefault(reason, {"files": 0, "bytes": 0, "examples": []})
        entry["files"] += 1
        entry["bytes"] += cleaned.size
        if len(entry["examples"]) < NUM_EXAMPLES:
            entry["examples"].append(f"{cleaned.key} ({detail})" if detail else cleaned.key)

    def _read(self, cleaned: Cleaned) -> None:
        self.megabytes += cleaned.size / 1e6 if cleaned.sha256 else 0.0

    def speed(self, stage: str) -> float:
        """Megabytes a second of ``stage``."""
        megabytes = {"clean": self.megabytes, "duplicates": self.kept["bytes"] / 1e6, "tokens": self.tokenized}[stage]
        return megabytes / max(self.seconds.get(stage, 0.0), 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "kept": dict(self.kept),
            "by": {name: {key: dict(counts) for key, counts in _largest(groups)} for name, groups in self.by.items()},
            "dropped": dict(sorted(self.dropped.items(), key=lambda item: -item[1]["files"])),
            "secrets": dict(sorted(self.secrets.items(), key=lambda item: -item[1]["count"])),
            "left_out": self.left_out,
            "against": self.against,
            "megabytes": round(self.megabytes, 3),
            "tokenized": round(self.tokenized, 3),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }

    @classmethod
    def read(cls, folder: Path) -> CorpusReport:
        """The report in a corpus's folder.

        Raises:
            DataError: it is missing or damaged.
        """
        record = read_record(_ReportFile, folder / REPORT_JSON, remedy=REMAKE).model_dump()
        by = {
            name: {key: Counter(counts) for key, counts in groups.items()} for name, groups in record.pop("by").items()
        }
        return cls(kept=Counter(record.pop("kept")), by=by, **record)

    def write(self, folder: Path) -> None:
        """Write ``report.json`` and ``report.html``."""
        with whole_file(folder / REPORT_JSON) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
        with whole_file(folder / REPORT_HTML) as partial:
            partial.write_text(self.to_html(), encoding="utf-8")

    def lines(self) -> Iterator[str]:
        """A summary for the terminal."""
        num_dropped = sum(entry["files"] for entry in self.dropped.values())
        yield (
            f"Kept {self.kept['files']:,} of {self.kept['files'] + num_dropped:,} files: "
            f"{self.kept['bytes'] / 1e6:,.1f} MB, {self.kept['tokens']:,} tokens"
        )
        for name, groups in self.by.items():
            largest = [f"{key} {counts['files']:,}" for key, counts in _largest(groups)]
            yield f"  by {name + ':':12} {', '.join(largest[:6])}{', …' if len(largest) > 6 else ''}"
        yield f"Left out {num_dropped:,} files"
        for reason, entry in self.to_dict()["dropped"].items():
            yield f"  {entry['files']:7,}  {reason}, e.g. {entry['examples'][0]}"
        for path, reason in sorted(self.left_out.items()):
            yield f"Left out {path}: {reason}"
        yield "Secrets replaced: " + (
            ", ".join(f"{entry['count']:,} {kind}" for kind, entry in self.to_dict()["secrets"].items()) or "none"
        )
        yield f"Compared with: {', '.join(self.against) or 'no benchmark'}"
        yield (
            f"Read {self.megabytes:,.1f} MB, cleaned at {self.speed('clean'):.1f} MB/s and core; "
            f"duplicates found at {self.speed('duplicates'):.1f} MB/s, tokenized at {self.speed('tokens'):.1f} MB/s"
        )

    def to_html(self) -> str:
        """A page for a browser, whole in itself."""
        parts = ["<h1>Corpus</h1>", *(f"<p>{html.escape(line)}</p>" for line in self.lines() if line[:1] != " ")]
        for name, groups in self.by.items():
            rows = [
                (key, f"{counts['files']:,}", f"{counts['bytes'] / 1e6:,.2f}", f"{counts['tokens']:,}")
                for key, counts in _largest(groups)[:_NUM_ROWS]
            ]
            parts.append(_table(f"Kept, by {name}", (name, "files", "MB", "tokens"), rows))
        record = self.to_dict()
        dropped = [
            (reason, f"{entry['files']:,}", f"{entry['bytes'] / 1e6:,.2f}", "\n".join(entry["examples"]))
            for reason, entry in record["dropped"].items()
        ]
        parts.append(_table("Left out", ("reason", "files", "MB", "for example"), dropped))
        secrets = [
            (kind, f"{entry['count']:,}", f"{entry['files']:,}", "\n".join(entry["examples"]))
            for kind, entry in record["secrets"].items()
        ]
        parts.append(_table("Secrets and personal data replaced", ("kind", "count", "files", "for example"), secrets))
        return _PAGE + "\n".join(parts) + "\n"


_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Corpus</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0 0 2rem; }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td { white-space: pre-line; overflow-wrap: anywhere; }
td:nth-child(2), td:nth-child(3) { text-align: right; }
</style>
"""


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return f"<h2>{html.escape(title)}</h2>\n<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"


def _largest(groups: Mapping[str, Counter[str]]) -> list[tuple[str, Counter[str]]]:
    return sorted(groups.items(), key=lambda item: (-item[1]["bytes"], item[0]))

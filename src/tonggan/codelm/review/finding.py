"""What a review finds: a place, what is wrong there, and why that is believed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """One reason to believe a finding, in the words of the user's own files.

    Attributes:
        text: for a person, e.g. a line of code or a sentence of a docstring.
        path: where it stands, relative to the repository's root; None for what stands nowhere.
        line: from 1.
    """

    text: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Edit:
    """New text for a range of one file; lines and columns count from 1, in characters, and the end is not included."""

    start_line: int
    start_column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True)
class Finding:
    """Something that is believed to be wrong.

    Attributes:
        rule: the name of the rule that believes it.
        path: of the file, relative to the repository's root, with ``/``.
        start_line: from 1.
        end_line: the last line of the range.
        start_column: from 1, in characters.
        end_column: the column after the last character of the range.
        message: what is wrong, as one sentence without the final period.
        evidence: why it is believed.
        confidence: how likely it is right, from 0 to 1.
        edit: what would mend it, where that is sure.
        fingerprint: the same wherever the line moves to; empty until a review has set it.
    """

    rule: str
    path: str
    start_line: int
    end_line: int
    start_column: int
    end_column: int
    message: str
    evidence: tuple[Evidence, ...]
    confidence: float
    edit: Edit | None = None
    fingerprint: str = ""

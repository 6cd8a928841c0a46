"""What a completion reads and gives: a document, snippets, suggestions. Nothing is computed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Document:
    """A file as the editor shows it.

    Attributes:
        path: where it is, or would be once it is saved.
        text: all of it, with its own line ends.
        language: as ``languages.language_of`` names it.
    """

    path: Path
    text: str
    language: str


@dataclass(frozen=True)
class Snippet:
    """A piece of another file, or of another place in this one, that the model reads before it writes.

    Attributes:
        path: of the file.
        start_line: its first line, from 1.
        end_line: its last line.
        text: its lines.
        reason: why it was chosen, for a person.
        score: how alike or how near, from 0 to 1.
    """

    path: Path
    start_line: int
    end_line: int
    text: str
    reason: str
    score: float


@dataclass(frozen=True)
class Suggestion:
    """A text that may be put into the document.

    Attributes:
        text: what to write, with the document's line ends.
        start: offset in characters where it begins to replace.
        end: offset in characters where it ends to replace; normally both are the cursor.
        confidence: the geometric mean of its tokens' probabilities after checks, from 0 to 1.
        sources: what the model read beside the document.
        notes: what was checked and repaired, for a person.
    """

    text: str
    start: int
    end: int
    confidence: float
    sources: tuple[Snippet, ...] = ()
    notes: tuple[str, ...] = ()

"""What the data doctor says: one finding in two languages, and one line of the quarantine list. It looks at no data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from tonggan.wording import Bilingual, Words

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know about the data.

    Attributes:
        severity: ``error`` where training makes no sense, ``warning`` where results may mislead or suffer, else
            ``note``.
        column: the column it is about, if it is about one.
        split: the part of the data it is about, if it is about one.
        count: number of rows concerned.
        message: what was found, in English.
        message_zh: the same in Chinese.
        remedy: what can be done, in English.
        remedy_zh: the same in Chinese.
    """

    severity: Severity
    column: str | None
    split: str | None
    count: int
    message: str
    message_zh: str
    remedy: str
    remedy_zh: str

    @property
    def said(self) -> Bilingual:
        """What was found."""
        return Bilingual(self.message, self.message_zh)

    @property
    def said_remedy(self) -> Bilingual:
        """What can be done."""
        return Bilingual(self.remedy, self.remedy_zh)

    def told(self) -> Bilingual:
        """What was found, as a line among others of a run."""
        return Bilingual(f"Doctor: {self.message}", f"数据检查：{self.message_zh}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, by attribute."""
        return asdict(self)


@dataclass(frozen=True)
class Doubt:
    """What speaks for another reading of a column than the one that it has.

    Attributes:
        share: of its cells that this is about.
        problem: what the column holds.
        remedy: what can be done; the column is called NAME.
    """

    share: float
    problem: Words
    remedy: Words


class Quarantined(NamedTuple):
    """One cell that cannot be used.

    Attributes:
        split: the part of the data.
        row: the row of that part, counted from 0.
        number: the row of the user's own table, counted from 1 below its header.
        column: the column.
        value: what the cell says.
        reason: why it cannot be used.
    """

    split: str
    row: int
    number: int
    column: str
    value: str
    reason: str

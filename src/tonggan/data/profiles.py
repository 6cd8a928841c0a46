"""What the columns of a training part are like, in a few numbers: what new rows are compared with.

A profile is stored in the bundle. It holds names of categories, ranges and counts, and at most one value as an example;
its size does not grow with the table.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeInt

from tonggan.cells import cell_text
from tonggan.config import Config
from tonggan.data.languages import language_of
from tonggan.data.scan import MediaColumn, MediaStatus, find_media
from tonggan.data.table import Table, spread
from tonggan.modalities import ColumnConfig
from tonggan.modalities.base import MediaConfig

MAX_TEXTS = 2_000  # texts whose language and form are looked at, spread over the table
MAX_NAMES = 1_000
_MAX_FILES = 64  # files whose headers are read again, likewise
_MAX_CELLS = 20_000  # numbers from which the range is taken, and texts that are counted, likewise
_MAX_FORMS = 8
_NAME_LENGTH = 100
_MOST = 0.95
_MIN_TEXTS = 20
_WILD = 20  # times the range of nearly all numbers: what lies beyond is a mistyped cell and no part of the range

Name = Annotated[str, Field(max_length=_NAME_LENGTH)]
Counts = Annotated[dict[Name, NonNegativeInt], Field(max_length=64)]


class _Profile(Config):
    rows: NonNegativeInt
    """Number of rows of the training part that were examined, spread over it."""
    missing: NonNegativeInt
    """How many of them have an empty cell."""


class _ReadProfile(_Profile):
    unreadable: NonNegativeInt
    """Cells that do not parse as the column's kind."""
    example: Name
    """A cell, as written."""


class CellProfile(_ReadProfile):
    """A column of which nothing more is known than which cells can be read."""

    kind: Literal["cell"] = "cell"


class NumberProfile(_ReadProfile):
    """A column of numbers."""

    kind: Literal["number"] = "number"
    low: FiniteFloat
    """Smallest number, without obvious typos."""
    high: FiniteFloat
    """Largest number, without obvious typos."""
    usual_low: FiniteFloat
    """99 % of the numbers lie above it."""
    usual_high: FiniteFloat
    """99 % of the numbers lie below it."""


class CategoryProfile(_Profile):
    """A column of names."""

    kind: Literal["category"] = "category"
    names: Annotated[list[Name], Field(max_length=MAX_NAMES)]
    """The most frequent names, in the form of ``cell_text``, cut to 100 characters."""
    rare: NonNegativeInt
    """Rows whose name occurs in no other row, or is not among ``names``: an estimate of how many new names to expect.
    """


class TextProfile(_Profile):
    """A column of texts."""

    kind: Literal["text"] = "text"
    languages: Counts
    """Languages and scripts of a sample of texts, with the number of texts in each."""
    forms: Counts
    """Formats of dates and codes in the sample, by ``form_of``, with their counts; none for prose."""
    sampled: NonNegativeInt
    """Size of the sample."""
    example: Name
    """A date or a code, as written; empty for prose."""


class MediaProfile(_Profile):
    """A column of pictures or recordings."""

    kind: Literal["media"] = "media"
    facts: Annotated[dict[Name, Counts], Field(max_length=8)]
    """What the headers of a sample of files say, such as sample rates, with the number of files for each."""
    ranges: Annotated[dict[Name, tuple[FiniteFloat, FiniteFloat]], Field(max_length=8)]
    """Minimum and maximum of what they say in numbers, such as the size."""
    sampled: NonNegativeInt
    """Size of the sample."""


ColumnProfile = Annotated[
    NumberProfile | CategoryProfile | TextProfile | MediaProfile | CellProfile, Field(discriminator="kind")
]
"""What one column of the training part is like."""


def profile_columns(
    table: Table, columns: Mapping[str, ColumnConfig], *, media: Mapping[str, MediaColumn]
) -> dict[str, ColumnProfile]:
    """The profiles of the input ``columns`` of the training part, of which ``media`` are scanned."""
    profiles: dict[str, ColumnProfile] = {}
    for name, config in columns.items():
        if name in media:
            facts = [fact for _, fact in facts_of(table, name, media[name], config=config)]
            profiles[name] = _profile_media(facts, len(table), media[name].num_absent)
        elif config.form == "name":
            profiles[name] = _profile_categories(map(config.read, _spread(table, name, len(table))), len(table))
        elif config.form == "text":
            profiles[name] = _profile_texts(table, name)
        else:
            profile = _profile_numbers if config.form == "number" else _profile_cells
            found = profile(_spread(table, name, _MAX_CELLS), config)
            if found is not None:
                profiles[name] = found
    return profiles


def facts_of(
    table: Table, name: str, column: MediaColumn, *, config: ColumnConfig
) -> list[tuple[int, dict[str, str | int]]]:
    """Row and facts of a sample of the files that a scanned column has; see ``MediaModality.describe``."""
    assert isinstance(config, MediaConfig), "only media are scanned"
    modality = config.build()
    present = column.rows(MediaStatus.PRESENT)
    rows = present[spread(len(present), _MAX_FILES)]
    found = []
    for row in rows.tolist():
        raw = find_media(table.values(name, np.array([row]))[0], base=table.base)
        facts = {} if raw is None else modality.describe(raw)
        if facts:
            found.append((row, facts))
    return found


def name_of(cell: Any) -> str | None:
    """The name in a category's cell as a profile keeps it."""
    text = cell_text(cell)
    return None if text is None else text[:_NAME_LENGTH]


def form_of(text: str) -> str:
    """How a date or a code is written, e.g. ``999-9-9`` for 2024-03-05; longer texts are prose, without a form."""
    if len(text) > 40:
        return ""
    form = re.sub(r"\d+", lambda digits: "9" if len(digits[0]) <= 2 else "999", text.strip())
    return re.sub(r"[^\W\d_]+", "a", form)


def fold(text: str) -> str:
    """What stays the same of a name when it is written with other letters, accents, blanks or marks."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if character.isalnum())


def _profile_cells(cells: Iterable[Any], config: ColumnConfig) -> CellProfile | None:
    """None where no cell can be read."""
    counts: Counter[str] = Counter()
    example = ""
    for cell in cells:
        says = "missing" if cell_text(cell) is None else "unreadable" if config.is_unreadable(cell) else "readable"
        counts[says] += 1
        if says == "readable":
            example = example or str(cell).strip()[:_NAME_LENGTH]
    if not counts["readable"]:
        return None
    return CellProfile(rows=counts.total(), missing=counts["missing"], unreadable=counts["unreadable"], example=example)


def _profile_numbers(cells: Iterable[Any], config: ColumnConfig) -> NumberProfile | None:
    """None where no cell is a number."""
    missing = unreadable = 0
    numbers: list[float] = []
    example = ""
    for cell in cells:
        number = config.read(cell)
        if not math.isnan(number):
            numbers.append(number)
            example = example or str(cell).strip()[:_NAME_LENGTH]
        elif config.is_unreadable(cell):
            unreadable += 1
        else:
            missing += 1
    if not numbers:
        return None
    values = np.array(numbers)
    usual_low, usual_high = np.quantile(values, [0.01, 0.99], method="nearest").tolist()
    reach = _WILD * (usual_high - usual_low)
    tame = values[(values >= usual_low - reach) & (values <= usual_high + reach)]
    return NumberProfile(
        rows=len(numbers) + missing + unreadable,
        missing=missing,
        unreadable=unreadable,
        example=example,
        low=float(tame.min()),
        high=float(tame.max()),
        usual_low=usual_low,
        usual_high=usual_high,
    )


def _profile_categories(cells: Iterable[Any], num_rows: int) -> CategoryProfile:
    counts = Counter(map(name_of, cells))
    missing = counts.pop(None, 0)
    names = [str(name) for name, _ in counts.most_common(MAX_NAMES)]
    kept = sum(counts[name] for name in names if counts[name] > 1)
    return CategoryProfile(rows=num_rows, missing=missing, names=names, rare=num_rows - missing - kept)


def _profile_texts(table: Table, name: str) -> TextProfile:
    missing = sum(cell_text(cell) is None for cell in _spread(table, name, _MAX_CELLS))
    texts = [str(cell) for cell in _spread(table, name, MAX_TEXTS) if cell_text(cell) is not None]
    common = Counter(map(form_of, texts)).most_common(_MAX_FORMS)
    few = len(texts) >= _MIN_TEXTS and sum(count for _, count in common) >= _MOST * len(texts)
    is_coded = few and all(re.fullmatch(r"\S*9\S*|.*9.*9.*", form) for form, _ in common)
    forms = {form[:_NAME_LENGTH]: count for form, count in common} if is_coded else {}
    return TextProfile(
        rows=min(len(table), _MAX_CELLS),
        missing=missing,
        languages=dict(Counter(map(language_of, texts)).most_common(20)),
        forms=forms,
        sampled=len(texts),
        example=texts[0].strip()[:_NAME_LENGTH] if forms else "",
    )


def _profile_media(facts: list[dict[str, str | int]], num_rows: int, missing: int) -> MediaProfile:
    said: dict[str, Counter[str]] = {}
    numbers: dict[str, list[float]] = {}
    for fact in facts:
        for what, value in fact.items():
            if isinstance(value, str):
                said.setdefault(what, Counter())[value] += 1
            else:
                numbers.setdefault(what, []).append(value)
    return MediaProfile(
        rows=num_rows,
        missing=missing,
        facts={what: dict(counts.most_common(16)) for what, counts in said.items()},
        ranges={what: (min(values), max(values)) for what, values in numbers.items()},
        sampled=len(facts),
    )


def _spread(table: Table, name: str, limit: int) -> Iterator[Any]:
    """The cells of at most ``limit`` rows, evenly spread."""
    if limit >= len(table):
        for values in table.iterate(name):
            yield from values
        return
    rows = iter(spread(len(table), limit).tolist())
    while some := list(islice(rows, 8_192)):
        yield from table.values(name, np.array(some))

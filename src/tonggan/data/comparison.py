"""New rows beside the training part: what differs so much that chance does not explain it.

A finding needs more cells than the training part itself lets expect (Good 1953 for names never seen; a Poisson tail for
all counts), so that rows of the same table give none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.cell_findings import CellFindings, why_unreadable
from tonggan.data.findings import Finding, Quarantined
from tonggan.data.languages import LATIN, NO_LETTERS, is_latin, language_of
from tonggan.data.profiles import (
    MAX_TEXTS,
    CategoryProfile,
    CellProfile,
    ColumnProfile,
    MediaProfile,
    NumberProfile,
    TextProfile,
    facts_of,
    fold,
    form_of,
    name_of,
)
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table, spread
from tonggan.modalities import ColumnConfig, NumericConfig
from tonggan.wording import Bilingual, catalog, listed, shortened

CHANCE = 0.01
"""That a difference at least as large is chance."""
Facts = Sequence[tuple[int, Mapping[str, str | int]]]
"""Row and what the header of its file says."""

_FAR = 0.5  # of the range of the training part: so far out is a new value, less is its tail
_VERY_FAR = 3.0  # of that range: so far out is no chance, however few
_MIN_ROWS = 20  # from which a column as a whole is compared
_FACTOR = 2.0  # by which a size may be outside the training part's
_LUCK = 0.25  # cells of a kind that the training part may have had, and had not by chance
_FACTS_ZH = {"color": "颜色", "size": "尺寸", "sample rate": "采样率", "channels": "声道数", "number of frames": "帧数"}
_FACTS_ZH |= {"seconds": "秒数", "sound": "音轨"}


def is_surprising(count: int, total: int, *, before: int, out_of: int, more: float = 0.0) -> bool:
    """Whether ``count`` of ``total`` is more than ``before`` of ``out_of`` lets expect, give or take its own chance.

    ``more`` is how many there may have been by bad luck where ``before`` is 0; with 0 a single one is a surprise.
    """
    if count == 0 or out_of == 0:
        return False
    expected = total * min(1.0, (before + 2 * math.sqrt(before) + more) / out_of)
    return _poisson_tail(count, expected) < CHANCE


def _poisson_tail(count: int, mean: float) -> float:
    """The chance of ``count`` or more events, of which ``mean`` are expected."""
    if mean == 0:
        return 0.0
    if count > 1_000:  # the normal approximation is good, and the sum would be long
        return 0.5 * math.erfc((count - 0.5 - mean) / math.sqrt(2 * mean))
    terms = (math.exp(events * math.log(mean) - mean - math.lgamma(events + 1)) for events in range(count))
    return max(0.0, 1.0 - math.fsum(terms))


def compare_column(
    table: Table, name: str, *, config: ColumnConfig, profile: ColumnProfile, media: MediaColumn | None, split: str
) -> tuple[list[Finding], list[Quarantined]]:
    """Findings on the column ``name``, which is scanned as ``media`` if it has files, and its unreadable cells."""
    numbers = table.row_numbers
    if isinstance(profile, MediaProfile):
        assert media is not None, "a column of files has been scanned"
        facts, num_absent = facts_of(table, name, media, config=config), media.num_absent
        return compare_media(name, facts, profile=profile, num_absent=num_absent, split=split, numbers=numbers), []
    cells = (cell for values in table.iterate(name) for cell in values)
    return compare_cells(name, cells, config=config, profile=profile, split=split, numbers=numbers)


def compare_cells(
    name: str,
    cells: Iterable[Any],
    *,
    config: ColumnConfig,
    profile: NumberProfile | CategoryProfile | TextProfile | CellProfile,
    split: str,
    numbers: NDArray[np.int64],
) -> tuple[list[Finding], list[Quarantined]]:
    """Findings on one column of numbers, names or texts, and those of its cells that cannot be read.

    Args:
        name: the column.
        cells: one for each row.
        config: how they are read.
        profile: the column in the training part.
        split: the part of the data.
        numbers: int64 ``[N]``, how the rows are counted by their owner.
    """
    column = CellFindings(name, split, numbers)
    if isinstance(profile, NumberProfile):
        assert isinstance(config, NumericConfig), "a profile is of the column's kind"
        return _compare_numbers(column, cells, config, profile)
    if isinstance(profile, CategoryProfile):
        return _compare_categories(column, map(config.read, cells), profile), []
    if isinstance(profile, TextProfile):
        return _compare_texts(column, cells, profile), []
    told = [(row, cell) for row, cell in enumerate(cells) if cell_text(cell) is not None]
    bad = [(row, str(cell).strip()) for row, cell in told if config.is_unreadable(cell)]
    findings = _compare_missing(column, len(numbers) - len(told), profile)
    found, quarantine = _compare_unreadable(column, bad, config, profile)
    return findings + found, quarantine


def compare_media(
    name: str,
    facts: Facts,
    *,
    profile: MediaProfile,
    num_absent: int,
    split: str,
    numbers: NDArray[np.int64],
) -> list[Finding]:
    """Findings on one column of files, of which ``facts`` tell a sample and ``num_absent`` cells are empty."""
    column = CellFindings(name, split, numbers)
    findings = _compare_missing(column, num_absent, profile)
    for what, counts in profile.facts.items():
        told = [(row, str(fact[what])) for row, fact in facts if what in fact]
        new = [(row, value) for row, value in told if value not in counts]
        if new and is_surprising(len(new), len(told), before=0, out_of=profile.sampled):
            most = max(counts, key=lambda value: counts[value])
            findings.append(_other_fact(column, what, new, len(told), (most, catalog().translate(most))))
    for what, (low, high) in profile.ranges.items():
        sizes = [(row, int(fact[what])) for row, fact in facts if what in fact]
        outside = [(row, size) for row, size in sizes if not low / _FACTOR <= size <= high * _FACTOR]
        if outside and is_surprising(len(outside), len(sizes), before=0, out_of=profile.sampled):
            single = f"{low:g}"
            usual = (single, single) if low == high else (f"{low:g} to {high:g}", f"{low:g} 至 {high:g}")
            findings.append(_other_fact(column, what, outside, len(sizes), usual))
    return findings


def _compare_numbers(
    column: CellFindings, cells: Iterable[Any], config: NumericConfig, profile: NumberProfile
) -> tuple[list[Finding], list[Quarantined]]:
    unreadable: list[tuple[int, str]] = []
    far: list[tuple[int, float]] = []
    unusual: list[tuple[int, float]] = []
    missing = num_read = 0
    span = profile.high - profile.low or abs(profile.high) or 1.0
    worst = 0.0
    for row, cell in enumerate(cells):
        number = config.read(cell)
        if not math.isnan(number):
            num_read += 1
            if not profile.usual_low <= number <= profile.usual_high:
                unusual.append((row, number))
                beyond = max(profile.low - number, number - profile.high) / span
                if beyond > _FAR:
                    far.append((row, number))
                    worst = max(worst, beyond)
        elif config.is_unreadable(cell):
            unreadable.append((row, str(cell).strip()))
        else:
            missing += 1
    findings = _compare_missing(column, missing, profile)
    found, bad = _compare_unreadable(column, unreadable, config, profile)
    findings += found
    if far and (worst > _VERY_FAR or is_surprising(len(far), num_read, before=0, out_of=profile.rows, more=_LUCK)):
        findings.append(_out_of_range(column, far, config, profile))
    elif num_read >= _MIN_ROWS and 2 * len(unusual) > num_read:
        findings.append(_elsewhere(column, unusual, config, profile))
    return findings, bad


def _compare_unreadable(
    column: CellFindings, unreadable: list[tuple[int, str]], config: ColumnConfig, profile: NumberProfile | CellProfile
) -> tuple[list[Finding], list[Quarantined]]:
    """A finding on cells that cannot be read, and these, where training has fewer."""
    if not is_surprising(len(unreadable), len(column.numbers), before=profile.unreadable, out_of=profile.rows):
        return [], []
    reason = why_unreadable(config)
    finding = column.finding(
        "warning",
        len(unreadable),
        unreadable[0],
        what=(f"are {reason}", reason.chinese),
        then=(
            f", where training has '{shortened(profile.example)}'; they count as missing",
            f"（训练表中的写法如“{shortened(profile.example)}”）；按缺失处理",
        ),
        remedy=("Write them as the training table does", "请改成训练表中的写法"),
    )
    bad = [
        Quarantined(column.split, row, int(column.numbers[row]), column.name, text[:200], str(reason))
        for row, text in unreadable
    ]
    return [finding], bad


def _compare_categories(column: CellFindings, cells: Iterable[Any], profile: CategoryProfile) -> list[Finding]:
    known = set(profile.names)
    folded = {fold(name): name for name in reversed(profile.names)}
    folded.pop("", None)
    if known <= {"True", "False", "1", "0"}:  # the modality takes one for the other
        known |= {"True", "False", "1", "0"}
    missing = 0
    unseen: list[tuple[int, str]] = []
    otherwise: list[tuple[int, str]] = []
    for row, cell in enumerate(cells):
        name = name_of(cell)
        if name is None:
            missing += 1
        elif name not in known:
            (otherwise if fold(name) in folded else unseen).append((row, name))
    findings = _compare_missing(column, missing, profile)
    if otherwise:
        usual = folded[fold(otherwise[0][1])]
        findings.append(
            column.finding(
                "warning",
                len(otherwise),
                otherwise[0],
                what=("are written in another way than in training", "与训练表中的写法不同"),
                then=(f", where training has '{shortened(usual)}'", f"（训练表中为“{shortened(usual)}”）"),
                remedy=("Write them as the training table does", "请改成训练表中的写法"),
            )
        )
    if unseen and profile.names:
        surprising = is_surprising(len(unseen), len(column.numbers), before=profile.rare, out_of=profile.rows)
        usual, usual_zh = listed([shortened(name) for name in profile.names], limit=3)
        findings.append(
            column.finding(
                "warning" if surprising else "note",
                len(unseen),
                unseen[0],
                what=("hold values never seen in training", "的值在训练中从未出现"),
                then=(f"; training has {usual}", f"；训练表中有{usual_zh}"),
                remedy=(
                    "Correct them, or train again with rows that have them",
                    "请更正，或用含有这些值的数据重新训练",
                ),
            )
        )
    return findings


def _compare_texts(column: CellFindings, cells: Iterable[Any], profile: TextProfile) -> list[Finding]:
    looked_at = set(spread(len(column.numbers), MAX_TEXTS).tolist())
    missing = 0
    texts: list[tuple[int, str]] = []
    for row, cell in enumerate(cells):
        if cell_text(cell) is None:
            missing += 1
        elif row in looked_at:
            texts.append((row, str(cell).strip()))
    findings = _compare_missing(column, missing, profile)
    if not texts or not profile.sampled:
        return findings
    if profile.forms:
        other = [(row, text) for row, text in texts if form_of(text) not in profile.forms]
        before = profile.sampled - sum(profile.forms.values())
        if is_surprising(len(other), len(texts), before=before, out_of=profile.sampled, more=_LUCK):
            findings.append(
                column.finding(
                    "warning",
                    len(other),
                    other[0],
                    total=len(texts),
                    what=("are written in another way than in training", "与训练表中的写法不同"),
                    then=(
                        f", where training has '{shortened(profile.example)}'",
                        f"（训练表中的写法如“{shortened(profile.example)}”）",
                    ),
                    remedy=("Write them as the training table does", "请改成训练表中的写法"),
                )
            )
        return findings
    return findings + _compare_languages(column, texts, profile)


def _compare_languages(column: CellFindings, texts: Sequence[tuple[int, str]], profile: TextProfile) -> list[Finding]:
    total = sum(profile.languages.values())
    known = {language for language, count in profile.languages.items() if count > 0.02 * total}
    if any(language not in (NO_LETTERS, LATIN) and is_latin(language) for language in known):
        known.add(LATIN)  # no small words in a short text
    found = [(row, text, language) for row, text in texts for language in (language_of(text),)]
    if known == {LATIN}:  # names and keywords: which language they are of was not to be seen
        found = [(row, text, LATIN if is_latin(language) else language) for row, text, language in found]
    foreign = [(row, text, language) for row, text, language in found if language not in known]
    before = sum(count for language, count in profile.languages.items() if language not in known)
    if not is_surprising(len(foreign), len(texts), before=before, out_of=total, more=_LUCK):
        return []
    main = max(profile.languages, key=lambda language: profile.languages[language])
    most, _ = Counter(language for _, _, language in foreign).most_common(1)[0]
    example = next((row, text) for row, text, language in foreign if language == most)
    return [
        column.finding(
            "warning",
            len(foreign),
            example,
            total=len(texts),
            what=(
                f"are in another language than in training ({most})",
                f"与训练表的语言不同（{catalog().translate(most)}）",
            ),
            then=(f"; training has {main}", f"；训练表中为{catalog().translate(main)}"),
            remedy=(
                "Give texts in the language of the training table, or train again with both",
                "请使用训练表的语言，或用两种语言的数据重新训练",
            ),
        )
    ]


def _compare_missing(column: CellFindings, count: int, profile: ColumnProfile) -> list[Finding]:
    total = len(column.numbers)
    share = profile.missing / profile.rows
    by_chance = min(1.0, (profile.missing + _LUCK) / profile.rows)
    is_empty = count == total and by_chance**total < CHANCE
    more_often = count > max(2 * share, 0.01) * total and is_surprising(
        count, total, before=profile.missing, out_of=profile.rows, more=_LUCK
    )
    if not (is_empty or more_often):
        return []
    before = f"{profile.missing:,} of {profile.rows:,}"
    return [
        column.finding(
            "warning",
            count,
            None,
            what=("are empty", "为空"),
            then=(f"; in training {before} are", f"；训练表的 {profile.rows:,} 个中有 {profile.missing:,} 个为空"),
            remedy=(
                "Fill the column; without it predictions lean on what is left",
                "请填写该列；缺少它时，预测只能依靠其余的列",
            ),
        )
    ]


def _out_of_range(
    column: CellFindings, far: Sequence[tuple[int, float]], config: NumericConfig, profile: NumberProfile
) -> Finding:
    row, number = far[0]
    low, high = config.written(profile.low), config.written(profile.high)
    return column.finding(
        "warning",
        len(far),
        (row, config.written(number)),
        what=("lie far outside the range of training", "远远超出训练数据的范围"),
        then=(f"; training has {low} to {high}", f"；训练数据为 {low} 到 {high}"),
        remedy=(
            f"Check the unit and the cells; the model knows no such {config.things.english}",
            f"请检查单位和单元格；模型没有见过这样的{config.things.chinese}",
        ),
    )


def _elsewhere(
    column: CellFindings, unusual: Sequence[tuple[int, float]], config: NumericConfig, profile: NumberProfile
) -> Finding:
    row, number = unusual[0]
    low, high = config.written(profile.usual_low), config.written(profile.usual_high)
    thing = config.words.english if config.words else config.kind
    return column.finding(
        "warning",
        len(unusual),
        (row, config.written(number)),
        what=(f"lie where hardly any {thing} of training does", "落在训练数据极少出现的范围"),
        then=(f"; nearly all of training lie from {low} to {high}", f"；训练数据几乎都在 {low} 到 {high} 之间"),
        remedy=("Check the unit of the column", "请检查该列的单位"),
    )


def _other_fact(
    column: CellFindings, what: str, new: Sequence[tuple[int, str | int]], total: int, usual: tuple[str, str]
) -> Finding:
    row, value = new[0]
    what_zh = _FACTS_ZH.get(what, what)
    return column.finding(
        "warning",
        len(new),
        (row, Bilingual(str(value), catalog().translate(str(value)))),
        total=total,
        what=(f"have another {what} than in training", f"的{what_zh}与训练时不同"),
        then=(f"; training has {usual[0]}", f"；训练时为 {usual[1]}"),
        remedy=(
            "Bring such files in the form of the training table, or train again with both",
            "请使用与训练表相同形式的文件，或用两种文件重新训练",
        ),
    )

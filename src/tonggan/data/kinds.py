"""What each column of a table is, guessed from a sample and told in words, and which task a target asks for.

A guess is a proposal: whatever the user declares is taken as it is. Values are not converted here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tonggan.cells import cell_text
from tonggan.data.file_columns import kind_of_drawn, kind_of_embedded, kind_of_paths, kind_of_programs
from tonggan.data.findings import Doubt
from tonggan.data.missing_labels import missing_labels
from tonggan.data.number_format import NumberFormat, are_long_codes, fit_numbers
from tonggan.data.table import Table
from tonggan.data.text_sample import TextSample
from tonggan.data.time_format import TimeFormat, fit_declared, fit_times
from tonggan.errors import DataError
from tonggan.modalities import (
    CategoryConfig,
    ColumnConfig,
    DateConfig,
    DurationConfig,
    IgnoreConfig,
    ImageConfig,
    MultilabelConfig,
    NumberConfig,
    NumericConfig,
    TextConfig,
    TimeOfDayConfig,
)
from tonggan.modalities.regions import RegionsConfig

_SAMPLE_SIZE = 5_000
_EMBEDDED_SAMPLE_SIZE = 16  # each may be a file of many megabytes
_ROWS_AT_ONCE = 256
_MAX_CHARACTERS = 1_000
_ID_NAME = re.compile(
    r"(?i:(^|.*[\W_])(id|ids|uuid|guid|key|index|idx|no|nr)[\W_]*)|.*[a-z](Id|ID)|.*(编号|序号)", re.ASCII
)
_MAX_CATEGORIES = 1_000
_MAX_SENTENCE_CATEGORIES = 20
_MAX_SMALL_CLASSES = 20


@dataclass(frozen=True)
class Guess:
    """What a column is taken for, and why in words.

    Attributes:
        doubt: what speaks for another reading.
    """

    config: ColumnConfig
    reason: str
    doubt: Doubt | None = None


def guess_columns(table: Table, *, target: Sequence[str], declared: Mapping[str, ColumnConfig]) -> dict[str, Guess]:
    """The kind of every column, in the table's order.

    The guess looks at 5,000 rows spread over the table. A target becomes a category, a number or a multilabel; an
    input becomes a picture, a recording, a text, a number or a category, or is ignored.

    Args:
        table: the table, the training part where there are several.
        target: the columns to predict.
        declared: what the user says some columns are.

    Raises:
        DataError: ``target`` or ``declared`` names a column that does not exist, or a target is declared as dates.
    """
    for name in (*target, *declared):
        table.require(name)
    guesses = {
        name: _declared(table, name, declared[name], is_target=name in target)
        if name in declared
        else _guess(table, name, is_target=name in target)
        for name in table.names
    }
    if len(target) > 1:
        # Several targets are one regression, also where one of them has few different values.
        for name in set(target) - set(declared):
            as_input = _guess(table, name, is_target=False)
            guesses[name] = as_input if as_input.config.form == "number" else guesses[name]
    return guesses


def _declared(table: Table, name: str, config: ColumnConfig, *, is_target: bool) -> Guess:
    """What the user says a column is; how its numbers are written, or no label, is found where that is left open."""
    is_label = isinstance(config, CategoryConfig | MultilabelConfig)
    if is_target and is_label and "missing" not in config.model_fields_set:
        missing = missing_labels(table, name, of_numbers=_are_numbers(_written(table, name)))
        return Guess(config.model_copy(update={"missing": missing}), "declared" + _missing_in_words(missing))
    if is_target and isinstance(config, NumericConfig) and config.task() is None:
        raise _no_target(name, f"a column of {config.things.english}")
    if isinstance(config, DateConfig | TimeOfDayConfig | DurationConfig):
        return _as_times(fit_declared(config, _sample(table, name, _SAMPLE_SIZE)[1]), name, "declared, ")
    if isinstance(config, NumberConfig) and config.model_fields_set <= {"kind"}:
        written = _written(table, name)
        if written is not None:
            return Guess(written.config, "declared" + (f", {written.reason}" if written.reason else ""))
    return Guess(config, "declared")


def _written(table: Table, name: str) -> NumberFormat | None:
    return fit_numbers([str(value) for value in _sample(table, name, _SAMPLE_SIZE)[1]])


def _are_numbers(written: NumberFormat | None) -> bool:
    return written is not None and written.is_sure


def guess_target(table: Table, name: str) -> Guess:
    """The kind of one column that is to be predicted by itself."""
    return _guess(table, name, is_target=True)


def guess_task(table: Table, target: Sequence[str], *, columns: Mapping[str, ColumnConfig]) -> Mapping[str, Any]:
    """The task that the kinds of the target columns ask for, as in a recipe.

    Raises:
        DataError: a target is empty, no task predicts a column of its kind, or several are not all numbers.
    """
    for name in target:
        if all(cell_text(value) is None for values in table.iterate(name) for value in values):
            raise DataError(
                f"target '{name}'",
                got="no value in any row",
                expected="values to learn from",
                remedy="Fill the column, or choose another target",
            )
    for name in target:
        _check_number_target(table, name, columns[name])
    forms, (task, *_) = {columns[name].form for name in target}, [columns[name].task() for name in target] or [None]
    if task is not None and (len(target) == 1 or forms == {"number"}):
        return task
    if len(target) == 1 and forms == {"name"}:
        return {"kind": "multiclass" if _has_three_values(table, target[0], columns[target[0]]) else "binary"}
    kinds = ", ".join(columns[name].kind for name in target)
    raise DataError(
        f"target {', '.join(repr(name) for name in target)}",
        got=f"columns of kind {kinds}" if target else "no column",
        expected="one category, one column of several labels, numbers, or one column of boxes or masks",
        remedy="Choose another target, or declare its kind, e.g. --set columns.NAME.kind=category",
    )


def _check_number_target(table: Table, name: str, config: ColumnConfig) -> None:
    """Raise DataError where a target that is no class holds dates, or numbers which are not surely read."""
    stored = table.column_type(name)
    if config.form != "text" or not (pa.types.is_string(stored) or pa.types.is_large_string(stored)):
        return
    sample = _sample(table, name, _SAMPLE_SIZE)[1]
    times = _guess_times(stored, table.stored_as(name), TextSample(sample), name)
    if times is not None and times.is_sure:
        raise _no_target(name, times.reason)
    written = fit_numbers(sample)
    if written is not None and not written.is_sure:
        raise DataError(
            f"target '{name}'",
            got=written.problem,
            expected="numbers that are all written in one way, or classes that repeat",
            remedy=written.remedy.replace("NAME", name),
        )


def _no_target(name: str, got: str) -> DataError:
    return DataError(
        f"target '{name}'",
        got=got.replace("NAME", name),
        expected="classes that repeat, numbers, or durations",
        remedy="Predict a number in a column of its own, such as the days from a known date, or declare classes: "
        f"--set columns.{name}.kind=category",
    )


def is_id(table: Table, name: str) -> bool:
    """Whether a column is called like an id and has another value in each row."""
    if not _ID_NAME.fullmatch(name):
        return False
    guess = _guess(table, name, is_target=False)
    return not guess.config.is_used and guess.reason.startswith("an id")


def _has_three_values(table: Table, name: str, config: ColumnConfig) -> bool:
    found: set[str] = set()
    for values in table.iterate(name):
        found.update(text for text in map(cell_text, map(config.read, values)) if text is not None)
        if len(found) > 2:
            return True
    return False


def _guess(table: Table, name: str, *, is_target: bool) -> Guess:
    stored = table.column_type(name)
    is_embedded = pa.types.is_struct(stored) or _is_binary(stored)
    rows, values = _sample(table, name, _EMBEDDED_SAMPLE_SIZE if is_embedded else _SAMPLE_SIZE)
    if not values:
        return Guess(IgnoreConfig(), "has hardly any values" if _has_values(table, name) else "has no values")
    drawn = kind_of_drawn(table, name, rows)
    if drawn is not None:
        # Beside another target they would say the answer, and no input reads them.
        return Guess(*drawn) if is_target else Guess(IgnoreConfig(), f"{drawn[1]}, which are read for a target only")
    if is_embedded:
        return _as_mask(Guess(*kind_of_embedded(values)), is_target=is_target)
    if hasattr(stored, "value_field") and is_target:  # a list
        return Guess(MultilabelConfig(), "each row holds a list of labels")
    if pa.types.is_nested(stored):
        return Guess(IgnoreConfig(), "each row holds several values, which are read for a target only")
    if pa.types.is_boolean(stored):
        return Guess(CategoryConfig(), "true or false")
    return _guess_cells(table, name, rows, values, is_target=is_target)


def _guess_cells(table: Table, name: str, rows: Sequence[int], values: Sequence[Any], *, is_target: bool) -> Guess:
    """The kind of a column of numbers or texts, of which ``values`` stand at ``rows``."""
    stored = table.column_type(name)
    sample = TextSample([str(value) for value in values])
    times = _guess_times(stored, table.stored_as(name), sample, name)
    if times is not None and times.is_sure and not is_target:
        return _as_times(times, name)
    missing: list[str] = []
    if pa.types.is_floating(stored) or (pa.types.is_integer(stored) and not are_long_codes(sample.values)):
        numbers = [float(value) for value in values if math.isfinite(value)]
        written: NumberFormat | None = NumberFormat(NumberConfig(), numbers, 1.0, "", "", "")
    else:
        written = fit_numbers(sample.values)
        if is_target:
            missing = missing_labels(table, name, of_numbers=_are_numbers(written))
    if written is not None and written.is_sure and written.numbers:
        return _guess_target_number(written, name, missing) if is_target else _guess_number(written, sample, name, rows)
    files = kind_of_paths(sample, table.base)
    if files is not None:
        return _as_mask(Guess(*files), is_target=is_target)
    if is_target and times is not None and times.is_sure and times.config.task() and not _are_classes(times.numbers):
        return _as_times(times, name, then=", predicted in seconds")
    guess = _guess_target_text(sample, missing) if is_target else _guess_text(sample, name)
    doubt = times.doubt if times is not None else None if written is None or written.is_sure else written.doubt
    if doubt is not None and guess.config.is_used and not (is_target and times is not None):
        return Guess(guess.config, f"{guess.reason}; {doubt.problem.english}", doubt)
    return guess


def _guess_times(stored: pa.DataType, stored_as: str | None, sample: TextSample, name: str) -> TimeFormat | None:
    """How the column writes times; None where hardly any of its cells does."""
    known = _TIMES.get(stored_as or "")
    if known is not None:
        return fit_declared(known, sample.values)
    if pa.types.is_integer(stored) or pa.types.is_string(stored) or pa.types.is_large_string(stored):
        return fit_times(sample.values, name)
    return None


_TIMES: Mapping[str, NumericConfig] = {
    "date": DateConfig(),
    "timestamp": DateConfig(),
    "time": TimeOfDayConfig(),
    "duration": DurationConfig(),
}


def _as_times(times: TimeFormat, name: str, before: str = "", then: str = "") -> Guess:
    return Guess(times.config, before + times.reason.replace("NAME", name) + then, times.doubt)


def _as_mask(guess: Guess, *, is_target: bool) -> Guess:
    """A target of pictures is one of masks."""
    if is_target and isinstance(guess.config, ImageConfig):
        return Guess(RegionsConfig(), "masks of pictures")
    return guess


def _is_binary(stored: pa.DataType) -> bool:
    return bool(pa.types.is_binary(stored) or pa.types.is_large_binary(stored) or pa.types.is_fixed_size_binary(stored))


def _has_values(table: Table, name: str) -> bool:
    return any(_is_there(value) for values in table.iterate(name, batch_size=_ROWS_AT_ONCE) for value in values)


def _is_there(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None and value == value  # NaN is not itself


def _sample(table: Table, name: str, size: int) -> tuple[list[int], list[Any]]:
    """Rows and values of at most ``size`` rows that are not missing, in row order; long texts are cut."""
    chosen = np.arange(len(table))
    if len(chosen) > _SAMPLE_SIZE:
        # Half from the start, so that consecutive numbers show; half from anywhere.
        half = _SAMPLE_SIZE // 2
        rest = np.random.default_rng(0).choice(len(table) - half, size=half, replace=False)
        chosen = np.concatenate([np.arange(half), np.sort(rest) + half])
    rows: list[int] = []
    values: list[Any] = []
    step = min(size, _ROWS_AT_ONCE)
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        for row, value in zip(some.tolist(), table.values(name, some), strict=True):
            if _is_there(value):
                rows.append(row)
                values.append(value.strip()[:_MAX_CHARACTERS] if isinstance(value, str) else value)
        if len(values) >= size:
            break
    return rows, values


def _guess_number(written: NumberFormat, sample: TextSample, name: str, rows: Sequence[int]) -> Guess:
    numbers = written.numbers
    if sample.is_unique and all(number.is_integer() for number in numbers):
        if _ID_NAME.fullmatch(name) and len(numbers) > 1:
            return Guess(IgnoreConfig(), "an id: a different number in each row")
        counted = len(numbers) == len(rows) and all(
            number - row == numbers[0] - rows[0] for number, row in zip(numbers, rows, strict=True)
        )
        if counted and len(numbers) >= _MAX_SMALL_CLASSES:
            return Guess(IgnoreConfig(), "counts the rows")
    return _number(written, name)


def _number(written: NumberFormat, name: str) -> Guess:
    reason = f"numbers from {min(written.numbers):g} to {max(written.numbers):g}"
    return Guess(written.config, reason + (f", {written.reason.replace('NAME', name)}" if written.reason else ""))


def _missing_in_words(missing: Sequence[str]) -> str:
    return f", {' and '.join(repr(text) for text in missing[:5])} count as missing" if missing else ""


def _guess_target_number(written: NumberFormat, name: str, missing: Sequence[str]) -> Guess:
    numbers = written.numbers
    distinct = set(numbers)
    whole = all(number.is_integer() for number in distinct)
    span = f"from {min(distinct):g} to {max(distinct):g}"
    if len(distinct) <= 2:
        return Guess(
            CategoryConfig(missing=list(missing)), f"{len(distinct)} different values{_missing_in_words(missing)}"
        )
    if whole and _are_classes(numbers):
        reason = f"{len(distinct)} whole numbers {span} that repeat, taken for classes{_missing_in_words(missing)}"
        return Guess(CategoryConfig(missing=list(missing)), reason)
    return _number(written, name)


def _are_classes(numbers: Sequence[float]) -> bool:
    """Whether whole numbers name classes: few that repeat often, or 0 or 1 to K without gaps, about equally often."""
    counts = Counter(numbers)
    repeats = len(numbers) / len(counts)
    gapless = min(counts) in (0, 1) and max(counts) - min(counts) + 1 == len(counts)
    if len(counts) <= _MAX_SMALL_CLASSES:
        return repeats >= (2 if gapless else 10)
    return gapless and repeats >= 5 and max(counts.values()) <= 3 * repeats


def _guess_text(sample: TextSample, name: str) -> Guess:
    if _is_id(sample, name):
        return Guess(IgnoreConfig(), "an id: a different code in each row")
    if sample.tag_separator is not None:
        return Guess(TextConfig(), f"labels separated by '{sample.tag_separator}', read word by word")
    if _is_category(sample):
        return Guess(CategoryConfig(), f"{sample.num_distinct} different values that repeat")
    if sample.is_python:
        return Guess(*kind_of_programs())
    return Guess(TextConfig(), f"text ({sample.language}), {sample.mean_words:.0f} words on average")


def _is_id(sample: TextSample, name: str) -> bool:
    if len(sample.values) < 2 or not sample.is_unique or sample.mean_words > 1:
        return False
    return bool(_ID_NAME.fullmatch(name)) or (sample.is_code and len(sample.values) >= _MAX_SMALL_CLASSES)


def _is_category(sample: TextSample) -> bool:
    repeats = len(sample.values) / sample.num_distinct
    if sample.mean_words >= 3.5:  # sentences; a few templates of questions are still text
        return sample.num_distinct <= _MAX_SENTENCE_CATEGORIES and repeats >= 10
    if sample.num_distinct <= _MAX_SMALL_CLASSES:
        return repeats >= 2 or (sample.num_distinct <= 2 and repeats > 1)
    return sample.num_distinct <= _MAX_CATEGORIES and repeats >= 5


def _guess_target_text(sample: TextSample, missing: Sequence[str]) -> Guess:
    sample = TextSample([value for value in sample.values if value not in missing] or sample.values)
    how = _missing_in_words(missing)
    if sample.are_lists:
        return Guess(MultilabelConfig(missing=list(missing)), f"lists of labels, written as text{how}")
    if sample.tag_separator is not None:
        config = MultilabelConfig(separator=sample.tag_separator, missing=list(missing))
        return Guess(config, f"labels separated by '{sample.tag_separator}'{how}")
    if 2 * sample.num_distinct > len(sample.values) >= _MAX_SMALL_CLASSES:
        return Guess(TextConfig(), f"text ({sample.language}) that hardly repeats")
    return Guess(CategoryConfig(missing=list(missing)), f"{sample.num_distinct} different values that repeat{how}")

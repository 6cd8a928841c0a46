"""Conditions on the columns of an index, as a person writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

from tonggan.errors import ConfigError
from tonggan.modalities.date import DateConfig
from tonggan.modalities.time_of_day import SECONDS_PER_DAY
from tonggan.retrieval.row import Compared, Value, Where
from tonggan.retrieval.store import Store

_OPERATOR_AND_VALUE = r"\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*"
_CONDITION = re.compile(rf"\s*(.+?){_OPERATOR_AND_VALUE}")


_NO_OTHER_TEXT = Compared("<", ":")  # which stands behind all digits: a cell that says no date is never after one


def conditions(written: Sequence[str], columns: Collection[str] = ()) -> Where:
    """The conditions in ``written``, which must all hold: a column, ``= != < <= > >=``, and a number or a text.

    A value is bound to the search and never becomes a part of it, whatever it holds. The name of a column ends at the
    first such sign, unless one of ``columns`` has the sign in its name.

    Raises:
        ConfigError: one is not written like that, or a column that is to equal something has another one.
    """
    found: dict[str, Value | Compared] = {}
    for text in written:
        match = _with_column(text, columns) or _CONDITION.fullmatch(text)
        if match is None or not match[3]:
            raise ConfigError(
                "--where",
                got=f"'{text}'",
                expected="a column, one of = != < <= > >=, and a value",
                remedy="Write it as --where 'year > 2020'",
            )
        name, operator, value = match[1], match[2], _value(match[3])
        before, equals = found.get(name), operator in ("=", "==")
        if before is not None and (equals or isinstance(before, str | int | float)):
            raise ConfigError(
                "--where",
                got=f"'{name}' equal to a value, and a further condition on it",
                expected="one = for a column, or comparisons by < <= > >= !=",
                remedy="Leave one out",
            )
        found[name] = value if equals else Compared(operator, value, before)  # type: ignore[arg-type]
    return found


def _with_column(text: str, columns: Collection[str]) -> re.Match[str] | None:
    known = "|".join(re.escape(name) for name in sorted(columns, key=len, reverse=True))
    return re.fullmatch(rf"\s*({known}){_OPERATOR_AND_VALUE}", text) if known else None


def _value(text: str) -> Value:
    """A number where it reads as one; a text in quotes without them."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def of_dates(wanted: Value | Collection[Value] | Compared, column: str) -> Value | Collection[Value] | Compared:
    """What a ``column`` of dates is compared with, as the index has dates; a day is all of that day.

    Raises:
        ConfigError: it is no date, or an ambiguous one.
    """
    if isinstance(wanted, Compared):
        also = _NO_OTHER_TEXT if wanted.also is None else of_dates(wanted.also, column)
        assert isinstance(also, Compared)
        first, after = _date(wanted.value, column)
        if wanted.operator in ("<=", ">") and after is not None:
            return Compared("<" if wanted.operator == "<=" else ">=", after, also)
        return Compared(wanted.operator, first, also)
    if not isinstance(wanted, str | int | float):
        return [_date(each, column)[0] for each in wanted]
    first, after = _date(wanted, column)
    return first if after is None else Compared(">=", first, Compared("<", after))


def _date(value: Value, column: str) -> tuple[str, str | None]:
    """A date as the index has it, and the day after it where it says no time of day."""
    config = DateConfig()
    moment = config.read(str(value))
    if math.isnan(moment):
        raise ConfigError(
            "--where",
            got=f"'{value}' for '{column}', a column of dates",
            expected="a date, with or without a time",
            remedy="Write it as --where 'date >= 2024-05-31'",
        )
    return config.written(moment), None if moment % SECONDS_PER_DAY else config.written(moment + SECONDS_PER_DAY)


def check_wanted(store: Store, field: str, wanted: Value | Collection[Value] | Compared, *, column: str) -> None:
    """Raise ConfigError where a ``column`` that holds numbers alone is compared with a text, which no row would fit."""
    values = [each.value for each in wanted.each()] if isinstance(wanted, Compared) else [wanted]
    texts = [value for value in values if isinstance(value, str)]
    if not texts or store.count({field: Compared(">=", "")}):
        return
    if store.count({field: Compared(">=", -math.inf)}):
        raise ConfigError(
            "--where",
            got=f"the text '{texts[0]}' for '{column}', a column of numbers",
            expected="a number",
            remedy="Write it as --where 'year > 2020', and each further condition as a --where of its own",
        )

"""Tables that a program holds in memory: data frames, Arrow tables, arrays, columns and rows as Python has them.

pandas and polars are no dependency: whoever holds one of their frames has imported them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tonggan.data.arrow_table import read_arrow
from tonggan.data.source import TableSource, check_names
from tonggan.errors import DataError

# pandas' values that Arrow stores as structures or as counts of months; their texts say what they are.
_SPELLED_OUT = {"Interval", "Period", "UUID"}
_TYPES_BY_VALUE = {"CategoricalDtype", "IntervalDtype", "PeriodDtype"}
_EXPECTED = "a path, a data frame, an Arrow table, a mapping of columns, a row as a mapping, or a list of such rows"


def read_in_memory(source: Any) -> TableSource:
    """The table in ``source``; relative paths in it start at the working directory.

    A mapping whose values are all lists (arrays, series) of one length is columns, one without any is a row. Keys and
    column names become texts. A row may lack a column.

    Raises:
        DataError: ``source`` is no table, or a column is of mixed types or holds objects that are no data.
    """
    if isinstance(source, pa.Table):
        return read_arrow(source)
    if _is_pandas(source, "DataFrame"):
        return _read_pandas(source)
    if hasattr(source, "__arrow_c_stream__") and not _is_pandas(source, "Series"):
        try:
            return read_arrow(pa.table(source))
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise _no_table(source, got=f"a {type(source).__name__} that is no table ({_one_line(error)})") from error
    if isinstance(source, Mapping):
        return _read_mapping(source)
    if isinstance(source, np.ndarray):
        if source.dtype.names is None:
            return _read_array(source)
        return _read_mapping({name: np.atleast_1d(source[name]) for name in source.dtype.names})
    if _is_pandas(source, "Series") and not isinstance(next(iter(source), None), Mapping):
        source = [source.to_dict()]
    if isinstance(source, Iterable) and not isinstance(source, str | bytes):
        rows = list(source)
        if rows and all(isinstance(row, Mapping) for row in rows):
            return _read_rows(rows)
        found = sorted({type(row).__name__ for row in rows})
        raise _no_table(source, got=f"a {type(source).__name__} of {' and '.join(found) or 'nothing'}")
    raise _no_table(source, got=f"a {type(source).__name__}")


def _no_table(source: Any, *, got: str) -> DataError:
    remedy = "Convert it, e.g. pandas.DataFrame(rows)"
    if hasattr(source, "toarray"):
        remedy = "Make a data frame of it, e.g. pandas.DataFrame(matrix.toarray())"
    elif hasattr(source, "collect"):
        remedy = "Collect it first, e.g. frame.collect()"
    return DataError("table", got=got, expected=_EXPECTED, remedy=remedy)


def _is_pandas(value: Any, kind: str) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, getattr(pandas, kind))


def _read_mapping(source: Mapping[Any, Any]) -> TableSource:
    lengths = {str(name): len(value) for name, value in source.items() if _is_column(value)}
    if not lengths:
        return _read_rows([source])
    scalars = [str(name) for name in source if str(name) not in lengths]
    if scalars or len(set(lengths.values())) > 1:
        parts = [f"'{name}' with {length} values" for name, length in lengths.items()]
        parts += [f"'{name}' with one value that is no list" for name in scalars]
        raise DataError(
            "columns of a mapping",
            got=", ".join(parts[:6]) + (", …" if len(parts) > 6 else ""),
            expected="lists of one length in all columns, or no list at all for a single row",
            remedy="Give each column one value for each row; put a single row with a list in a cell into a list: [row]",
        )
    return _from_columns(source, map(list, source.values()), who="mapping")


def _is_column(value: Any) -> bool:
    """Whether a value is a sequence or an array, of whatever package, rather than one cell."""
    if isinstance(value, Sequence):
        return not isinstance(value, str | bytes | bytearray)
    is_array = any(hasattr(value, name) for name in ("__array__", "__arrow_array__", "__arrow_c_array__"))
    return is_array and hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def _read_rows(rows: list[Mapping[Any, Any]]) -> TableSource:
    names = dict.fromkeys(name for row in rows for name in row)
    return _from_columns(names, ([row.get(name) for row in rows] for name in names), who="rows")


def _read_array(array: np.ndarray[Any, Any]) -> TableSource:
    if array.ndim != 2:
        raise _no_table(array, got=f"an array of {array.ndim} dimensions")
    return _from_columns(range(array.shape[1]), array.T.tolist(), who="array")


def _read_pandas(frame: Any) -> TableSource:
    """A data frame without its index; NaN is a missing value."""
    if frame.columns.nlevels > 1:
        raise DataError(
            "data frame",
            got=f"columns with names of {frame.columns.nlevels} levels, such as {frame.columns[0]}",
            expected="one name for each column",
            remedy="Join the levels: frame.columns = ['_'.join(map(str, name)) for name in frame.columns]",
        )
    columns = (_values_of(frame.iloc[:, place]) for place in range(frame.shape[1]))
    return _from_columns(frame.columns, columns, who="data frame")


def _values_of(series: Any) -> Any:
    """``series`` as Arrow reads it, or its single values where Arrow would read something else than a user sees."""
    kind = type(series.dtype).__name__
    if kind == "SparseDtype":
        return series.sparse.to_dense()
    return list(series) if kind in _TYPES_BY_VALUE or series.dtype == object else series


def _from_columns(names: Iterable[Any], columns: Iterable[Any], *, who: str) -> TableSource:
    texts = [str(name) for name in names]
    check_names(texts, who=who)
    arrays = []
    for name, values in zip(texts, columns, strict=True):
        plain = [_plain_value(value) for value in values] if isinstance(values, list) else values
        try:
            arrays.append(pa.array(plain, from_pandas=True))
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            raise DataError(
                f"column '{name}' of the {who}",
                got=_one_line(error),
                expected="numbers, texts, dates, paths or bytes, in a column all of one type",
                remedy=f"Convert the column, e.g. frame['{name}'] = frame['{name}'].astype(str)",
            ) from error
    return read_arrow(pa.table(arrays, names=texts), name=who)


def _plain_value(value: Any) -> Any:
    """A path, an interval or a period as its text, an array without dimensions as its value; all else as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "ndim", None) == 0 and not isinstance(value, np.generic) and hasattr(value, "item"):
        return value.item()
    return str(value) if type(value).__name__ in _SPELLED_OUT else value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

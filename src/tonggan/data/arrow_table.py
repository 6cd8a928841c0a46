"""Tables that are columnar already: Parquet files and pyarrow tables.

Values keep their types, except that dates and times become ISO text, and decimals and durations (in seconds) become
floats, so that every reader gives the same few kinds of Python values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from tonggan.data.source import STORED_AS, TableSource, blocks_of, check_names, fingerprint_of, rows_per_batch
from tonggan.errors import DataError

_EXTENSIONS = {"arrow.uuid": pa.string(), "arrow.bool8": pa.bool_()}
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def read_parquet(files: Sequence[Path], *, name: str) -> TableSource:
    """The table in one Parquet file, or in several that are parts of one.

    Raises:
        DataError: a file is damaged, repeats a column's name, or has other columns than the first.
    """
    blocks = (block for path in files for block in blocks_of(path))

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        stored = _opened(files[0]).schema_arrow
        check_names(stored.names, who=f"file {files[0]}")
        schema = _plain_schema(stored)
        return schema, _parquet_batches(files, schema)

    return TableSource(name=name, base=files[0].parent, fingerprint=fingerprint_of(blocks, kind="parquet"), read=read)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _parquet_batches(files: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in files:
        file = _opened(path)
        found = _plain_schema(file.schema_arrow)
        if found != schema:
            raise DataError(
                f"file {path}",
                got=f"columns {_in_words(found)}",
                expected=f"those of {files[0].name}: {_in_words(schema)}",
                remedy="Give files that are parts of one table",
            )
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        num_rows = rows_per_batch(sum(group.total_byte_size for group in groups), file.metadata.num_rows)
        try:
            for batch in file.iter_batches(batch_size=num_rows):
                yield _plain(batch, schema)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"file {path}",
        got=" ".join(str(error).split()),
        expected="a whole Parquet file",
        remedy="Fetch or write the file again",
    )


def _in_words(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def read_arrow(table: pa.Table, *, name: str = "pyarrow table") -> TableSource:
    """A pyarrow table; relative paths in it start at the working directory.

    Raises:
        DataError: it has no columns, or two with the same name.
    """
    check_names(table.column_names, who=name)
    schema = _plain_schema(table.schema)
    batches = table.to_batches(max_chunksize=rows_per_batch(table.nbytes, table.num_rows))

    def stream() -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                yield _plain(batch, schema)
        except pa.ArrowException as error:
            raise DataError(
                name,
                got=" ".join(str(error).split()),
                expected="columns whose values can be read as texts, numbers or dates",
                remedy="Convert or drop the column",
            ) from error

    return TableSource(
        name=name,
        base=Path.cwd(),
        fingerprint=fingerprint_of(_serialized(schema, stream()), kind="arrow"),
        read=lambda: (schema, stream()),
    )


def _serialized(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    yield schema.serialize().to_pybytes()
    for batch in batches:
        yield batch.serialize().to_pybytes()


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    fields = [pa.field(field.name, _plain_type(field.type), metadata=_metadata(field.type)) for field in schema]
    return pa.schema(fields)


def _metadata(stored: pa.DataType) -> dict[bytes, str] | None:
    if pa.types.is_dictionary(stored):
        return _metadata(stored.value_type)
    known = (
        ("date", pa.types.is_date),
        ("timestamp", pa.types.is_timestamp),
        ("time", pa.types.is_time),
        ("duration", pa.types.is_duration),
    )
    return next(({STORED_AS: name} for name, is_so in known if is_so(stored)), None)


def _plain_type(stored: pa.DataType) -> pa.DataType:
    if isinstance(stored, pa.BaseExtensionType):
        return _EXTENSIONS.get(stored.extension_name) or _plain_type(stored.storage_type)
    if pa.types.is_dictionary(stored) or pa.types.is_run_end_encoded(stored):
        return _plain_type(stored.value_type)
    if pa.types.is_date(stored) or pa.types.is_time(stored) or pa.types.is_timestamp(stored):
        return pa.string()
    if pa.types.is_decimal(stored) or pa.types.is_duration(stored):
        return pa.float64()
    if pa.types.is_string_view(stored):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(stored) else stored


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [_plain_column(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


def _plain_column(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    while isinstance(column, pa.ExtensionArray):
        if column.type.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in column.to_pylist()], wanted)
        column = column.storage
    if pa.types.is_run_end_encoded(column.type):
        column = pa.compute.run_end_decode(column)
    if pa.types.is_dictionary(column.type):  # Arrow decodes no dictionary of views, as polars' categories are
        values = _plain_column(column.dictionary, wanted)
        return pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()
    if pa.types.is_timestamp(column.type):
        with suppress(pa.ArrowInvalid):  # keep fractions of a second where there are any
            column = column.cast(pa.timestamp("s", column.type.tz))
    elif pa.types.is_duration(column.type):
        ticks = column.cast(pa.int64()).cast(pa.float64())
        return pa.compute.divide(ticks, float(_TICKS[column.type.unit]))
    return column if column.type == wanted else column.cast(wanted)

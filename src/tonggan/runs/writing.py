"""Writing predictions as CSV, JSON lines or Parquet, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_file

SUFFIXES = (".csv", ".jsonl", ".parquet")


def check_suffix(path: Path) -> None:
    """Raise ConfigError now, before any work, if ``path`` is of no kind that can be written."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"--out {path}",
            got=f"suffix '{path.suffix}'",
            expected="one of " + ", ".join(SUFFIXES),
            remedy="Choose a name with one of these suffixes",
        )


def write_predictions(path: Path, table: pa.Table) -> None:
    """Write ``table`` at ``path`` atomically, in the format of its suffix.

    Raises:
        ConfigError: the suffix is unknown.
        DataError: the file cannot be written.
    """
    check_suffix(path)
    try:
        with whole_file(path) as partial:
            if path.suffix == ".parquet":
                pyarrow.parquet.write_table(table, partial)
            elif path.suffix == ".csv":
                pyarrow.csv.write_csv(_flat(table), partial)
            else:
                with partial.open("w", encoding="utf-8") as file:
                    for row in table.to_pylist():
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(
            f"file {path}",
            got=str(error),
            expected="a place that can be written",
            remedy="Free space or choose another place with --out",
        ) from error


def _flat(table: pa.Table) -> pa.Table:
    # CSV has no lists: tags are joined as they are read, with '|'.
    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            joined = ["|".join(map(str, value)) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(joined))
    return table

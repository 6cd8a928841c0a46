"""Writing predictions as CSV, JSON lines, Parquet or an Excel workbook, whole or not at all."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from tonggan.data.workbook import require_openpyxl, write_workbook
from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_file, whole_folder

SUFFIXES = (".csv", ".jsonl", ".parquet", ".xlsx", ".json")
_NUM_DECIMALS = 4  # of a probability that a person reads


def check_suffix(path: Path) -> None:
    """Raise ConfigError before any work if ``path`` is of no kind that can be written, DataError without openpyxl."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"--out {path}",
            got=f"suffix '{path.suffix}'",
            expected="one of " + ", ".join(SUFFIXES),
            remedy="Choose a name with one of these suffixes",
        )
    if path.suffix == ".xlsx":
        require_openpyxl(path)


def write_predictions(path: Path, table: pa.Table, *, decimals: int | None = _NUM_DECIMALS) -> None:
    """Write ``table`` at ``path`` atomically, in the format of its suffix.

    Masks stand in a Parquet file as PNG; for the other formats they are written into ``mask_folder``.

    Args:
        path: of the file.
        table: what is written.
        decimals: of probabilities in files that people read; None writes all.

    Raises:
        ConfigError: the suffix is unknown.
        DataError: the file cannot be written.
    """
    check_suffix(path)
    with _writing(path) as partial:
        if path.suffix != ".parquet":
            table = _with_files(table, mask_folder(path))
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, partial)
        elif path.suffix == ".csv":
            _write_csv(partial, _readable(table, decimals))
        elif path.suffix == ".xlsx":
            write_workbook(partial, _readable(table, decimals))
        else:
            with partial.open("w", encoding="utf-8") as file:
                for row in table.to_pylist():
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def mask_folder(path: Path) -> Path:
    """Where the masks of a table at ``path`` are written: a folder of its name."""
    return path.with_suffix("")


def check_new_folder(folder: Path) -> None:
    """Raise a DataError unless ``folder`` can be made or is empty: it may hold the very pictures that are read."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"folder {folder}",
            got="an existing file or folder",
            expected="a new or an empty folder",
            remedy="Choose another name, or remove it",
        )


def _with_files(table: pa.Table, folder: Path) -> pa.Table:
    """``table`` with the paths of files, written into ``folder``, in the place of cells that are PNG files."""
    for index, field in enumerate(table.schema):
        if not pa.types.is_binary(field.type):
            continue
        numbers = table.column("row").to_pylist() if "row" in table.column_names else range(1, len(table) + 1)
        names = [f"{number:06d}.png" for number in numbers]
        check_new_folder(folder)
        with writing_folder(folder) as partial:
            for name, content in zip(names, table.column(index).to_pylist(), strict=True):
                (partial / name).write_bytes(content)
        table = table.set_column(index, field.name, pa.array([f"{folder.name}/{name}" for name in names]))
    return table


def write_coco(path: Path, content: Mapping[str, Any]) -> None:
    """Write boxes as COCO's JSON at ``path``, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    with _writing(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """A place to write what then becomes ``path``; a failure is a DataError."""
    with (
        _explained(f"file {path}", remedy="Free space or choose another place with --out"),
        whole_file(path) as partial,
    ):
        yield partial


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """A place to fill that then becomes ``folder``, whole or not at all; a failure is a DataError."""
    with _explained(f"folder {folder}", remedy="Free space or choose another place"), whole_folder(folder) as partial:
        yield partial


@contextmanager
def _explained(who: str, *, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            who,
            got=str(error),
            expected="a place that can be written",
            remedy=remedy,
        ) from error


def _write_csv(path: Path, table: pa.Table) -> None:
    """UTF-8, with its mark where there is more than ASCII: without one, Excel takes it for the system's encoding."""
    content = io.BytesIO()
    pyarrow.csv.write_csv(table, content)
    text = content.getvalue()
    path.write_bytes(text if text.isascii() else codecs.BOM_UTF8 + text)


def _readable(table: pa.Table, decimals: int | None) -> pa.Table:
    """``table`` with probabilities rounded and without lists: tags are joined as they are read, with '|'."""
    for index, field in enumerate(table.schema):
        if decimals is not None and field.name.startswith("p_") and pa.types.is_floating(field.type):
            rounded = pyarrow.compute.round(table.column(index), ndigits=decimals)
            table = table.set_column(index, field.name, rounded)
        if pa.types.is_list(field.type):
            joined = ["|".join(map(str, value)) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(joined))
    return table

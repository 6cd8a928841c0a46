"""Open a table of any format: its rows are stored once as an Arrow file in the cache and memory-mapped from there.

Each format has its own file; this one finds the right reader and stores what it gives. Pictures and sounds that a
table names by path are not read here.
"""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from tonggan.data.arrow_table import read_arrow, read_pandas, read_parquet
from tonggan.data.class_folder import read_class_folder
from tonggan.data.delimited import read_delimited
from tonggan.data.json_lines import read_json_lines
from tonggan.data.source import TableSource, reading
from tonggan.data.table import Table
from tonggan.data.webdataset import read_webdataset
from tonggan.errors import CacheError, DataError
from tonggan.files import whole_file
from tonggan.progress import Progress

_SINGLE_FILE: dict[str, Callable[[Path], TableSource]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
}
_SHARDS: dict[str, Callable[..., TableSource]] = {".parquet": read_parquet, ".tar": read_webdataset}


def open_table(source: Any, *, cache: Path, progress: Progress | None = None) -> Table:
    """Open ``source`` as a table; the second time the same content is found in the cache.

    Args:
        source: path of a CSV, TSV, JSON Lines, Parquet or WebDataset ``.tar`` file, of a folder of class folders, or
            of a folder of Parquet files or tar shards; a pattern such as ``"shards/*.tar"``; a pandas data frame; a
            pyarrow table. Relative paths in its columns start at the folder the file is in, at the class folder
            itself, and for data frames at the working directory.
        cache: folder that stored tables go to, under ``tables/``.
        progress: told how many parts of the table are stored.

    Raises:
        DataError: the source is missing, of no known format, damaged, or has no rows.
        CacheError: the cache folder cannot be written, or the disk is full.
    """
    progress = progress or Progress()
    found = _find(source, progress)
    path = _store(found, cache / "tables", progress)
    return Table(path, base=found.base, source=found.name, fingerprint=found.fingerprint)


def _find(source: Any, progress: Progress) -> TableSource:
    if isinstance(source, str | Path):
        return _find_files(Path(source).expanduser(), progress)
    if isinstance(source, pa.Table):
        return read_arrow(source)
    # Whoever holds a data frame has imported pandas; it is no dependency of ours.
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return read_pandas(source)
    raise DataError(
        "table",
        got=f"a {type(source).__name__}",
        expected="a path, a pandas data frame or a pyarrow table",
        remedy="Convert it, e.g. pandas.DataFrame(rows)",
    )


def _find_files(path: Path, progress: Progress) -> TableSource:
    if path.is_dir():
        for suffix, read_shards in _SHARDS.items():
            with reading(path):
                shards = sorted(path.glob(f"*{suffix}"))
            if shards:
                return read_shards(shards, name=str(path))
        return read_class_folder(path, progress=progress)
    files = [path] if path.is_file() else sorted(Path(name) for name in glob.glob(str(path)))  # noqa: PTH207
    if not files:
        raise DataError(f"table {path}", got="no such file", expected="a file or a folder", remedy="Check the path")
    suffixes = {file.suffix.lower() for file in files}
    suffix = min(suffixes)
    if len(suffixes) == 1 and suffix in _SHARDS:
        return _SHARDS[suffix](files, name=str(path))
    if len(files) == 1 and suffix in _SINGLE_FILE:
        return _SINGLE_FILE[suffix](files[0])
    raise _refusal(path, files)


def _refusal(path: Path, files: Sequence[Path]) -> DataError:
    if len(files) > 1:
        got = f"{len(files)} files, e.g. {files[0].name} and {files[-1].name}"
        return DataError(
            f"table {path}",
            got=got,
            expected="one file, or several that are all .parquet or all .tar",
            remedy="Join the files into one",
        )
    return DataError(
        f"table {path}",
        got=f"the suffix '{path.suffix}'",
        expected=f"one of {', '.join([*_SINGLE_FILE, *_SHARDS])}, or a folder",
        remedy="Convert the file, unpack it, or give it the suffix of its format",
    )


def _store(source: TableSource, folder: Path, progress: Progress) -> Path:
    """The stored file of ``source``; a run killed while writing, or two at once, leave no half of one behind."""
    path = folder / f"{source.fingerprint}.arrow"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not _is_whole(path):
                _write(source, path, progress)
    except OSError as error:
        raise CacheError(
            f"cache folder {folder}",
            got=error.strerror or str(error),
            expected="a folder that can be written, with room for the table",
            remedy="Free space there, or set TONGGAN_CACHE to another folder",
        ) from error
    return path


def _is_whole(path: Path) -> bool:
    try:
        with pa.memory_map(str(path)) as file:
            pa.ipc.open_file(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
    return True


def _write(source: TableSource, path: Path, progress: Progress) -> None:
    schema, batches = source.read()
    num_rows = 0
    with whole_file(path) as partial:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in progress.track(batches, label=f"Reading {Path(source.name).name}"):
                writer.write_batch(batch)
                num_rows += batch.num_rows
        if not num_rows:
            raise DataError(
                f"table {source.name}",
                got="no rows",
                expected="at least one",
                remedy="Check that this is the right file",
            )

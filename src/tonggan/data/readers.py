"""Open a table of any format: its rows are stored once as an Arrow file in the cache and memory-mapped from there.

Each format has its own file; this one finds the right reader and stores what it gives. Pictures and sounds that a
table names by path are not read here.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from filelock import FileLock

from tonggan.data.arrow_table import read_parquet
from tonggan.data.class_folder import loose_files, read_class_folder, read_loose_files, read_mask_folder
from tonggan.data.coco import read_coco_folder, read_json
from tonggan.data.delimited import read_delimited
from tonggan.data.findings import Finding
from tonggan.data.in_memory import read_in_memory
from tonggan.data.json_lines import read_json_lines
from tonggan.data.source import TableSource, reading
from tonggan.data.table import Table
from tonggan.data.voc import read_voc
from tonggan.data.webdataset import read_webdataset
from tonggan.data.workbook import read_workbook
from tonggan.data.yolo import read_yolo
from tonggan.errors import CacheError, DataError
from tonggan.files import whole_file
from tonggan.progress import Progress

# The second argument is what stands behind '#' in a path: the encoding of a text, the sheet of a workbook.
_SINGLE_FILE: dict[str, Callable[[Path, str | None], TableSource]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".tab": read_delimited,
    ".txt": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".xlsx": read_workbook,
    ".xlsm": read_workbook,
}
# Each gives None for a folder of another kind.
_ANNOTATED: Sequence[Callable[[Path, Progress], TableSource | None]] = (
    read_voc,
    read_yolo,
    read_coco_folder,
    read_mask_folder,
)
_WORKBOOKS = (".xlsx", ".xlsm")
_SAME = {".json": (".jsonl",), ".ndjson": (".jsonl",), ".xlsm": (".xlsx",)}
_FORMATS = {
    ".csv": ("text with separators", "带分隔符的文本"),
    ".xlsx": ("an Excel workbook", "Excel 工作簿"),
    ".parquet": ("a Parquet file", "Parquet 文件"),
    ".tar": ("a tar archive", "tar 归档"),
    ".jsonl": ("JSON", "JSON"),
}
_PACKED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd", b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}  # fmt: skip
_ZIP = b"PK\x03\x04"
_HEAD_BYTES = 1024
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*(?:"|\}\s*$)')
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body|table)\b", re.IGNORECASE)
_SHARDS: dict[str, Callable[..., TableSource]] = {".parquet": read_parquet, ".tar": read_webdataset}


def open_table(source: Any, *, cache: Path, progress: Progress | None = None) -> Table:
    """Open ``source`` as a table; the second time the same content is found in the cache.

    Args:
        source: path of a CSV, TSV, JSON Lines, Excel, Parquet or WebDataset ``.tar`` file, of COCO's JSON, of a
            folder of Pascal VOC, COCO, YOLO or masks, of class folders, or of Parquet files or tar shards; of a
            picture, a sound, or a folder of one of these; a pattern such as ``"shards/*.tar"``; ``-`` for standard
            input, or a pipe; what ``read_in_memory`` takes; a ``Table``, which is given back. Behind ``#`` a path may
            name the sheet of a workbook or the encoding of a text:
            ``book.xlsx#2024``, ``old.csv#big5``. Relative paths in its columns start at the folder the file is in (of
            COCO's JSON, that of the pictures), at the folder itself, and for tables in memory and pipes at the working
            directory.
        cache: folder that stored tables go to, under ``tables/``.
        progress: told how many parts of the table are stored.

    Raises:
        DataError: the source is missing, of no known format, damaged, or has no rows.
        CacheError: the cache folder cannot be written, or the disk is full.
    """
    if isinstance(source, Table):
        return source
    progress = progress or Progress()
    with _as_file(source) as (place, shown):
        found = _find(place, progress)
        if shown is not None:
            found = replace(found, name=shown, base=Path.cwd())
        path = _store(found, cache / "tables", progress)
    return Table(
        path,
        base=found.base,
        source=found.name,
        fingerprint=found.fingerprint,
        findings=_load_findings(path),
    )


@contextmanager
def _as_file(source: Any) -> Iterator[tuple[Any, str | None]]:
    """``source``, or, where it can be read only once (standard input, a pipe), a copy of it and what to call it."""
    stream = _stream_of(source)
    if stream is None:
        yield source, None
        return
    name, opened = stream
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "table"
        with reading(Path(name)), opened() as file, raw.open("wb") as copied:
            shutil.copyfileobj(file, copied)
        yield raw.rename(raw.with_suffix(_suffix_of(raw))), name


def _stream_of(source: Any) -> tuple[str, Callable[[], BinaryIO]] | None:
    if not isinstance(source, str | Path):
        return None
    if str(source) == "-":
        return "standard input", lambda: open(sys.stdin.fileno(), "rb", closefd=False)
    path = Path(source)
    return (str(source), lambda: path.open("rb")) if path.is_fifo() or path.is_char_device() else None


def _suffix_of(path: Path) -> str:
    """The suffix of the format that a file without a name is in."""
    with path.open("rb") as file:
        return _suffix_of_content(file.read(_HEAD_BYTES)) or ".csv"


def _suffix_of_content(head: bytes) -> str | None:
    """The suffix of the format that a file which begins with ``head`` is surely in; None where that is not sure."""
    if head.startswith(_ZIP):
        return ".xlsx"
    if head.startswith(b"PAR1"):
        return ".parquet"
    if head[257:262] == b"ustar":
        return ".tar"
    return ".jsonl" if _JSON.match(head) else None


def _find(source: Any, progress: Progress) -> TableSource:
    if isinstance(source, str | os.PathLike):
        return _find_files(Path(source).expanduser(), progress)
    return read_in_memory(source)


def _find_files(path: Path, progress: Progress) -> TableSource:
    if path.is_dir():
        for suffix, read_shards in _SHARDS.items():
            with reading(path):
                shards = sorted(path.glob(f"*{suffix}"))
            if shards:
                return read_shards(shards, name=str(path))
        annotated = (source for read in _ANNOTATED if (source := read(path, progress)) is not None)
        found = next(annotated, None) or read_loose_files(loose_files(path), name=str(path))
        return found or read_class_folder(path, progress=progress)
    path, part = without_part(path)
    files = [path] if path.is_file() else sorted(Path(name) for name in glob.glob(str(path)))  # noqa: PTH207
    if not files:
        raise DataError(f"table {path}", got="no such file", expected="a file or a folder", remedy="Check the path")
    suffixes = {file.suffix.lower() for file in files}
    suffix = min(suffixes)
    if len(suffixes) == 1 and suffix in _SHARDS:
        return _SHARDS[suffix](files, name=str(path))
    if len(files) == 1 and suffix in _SINGLE_FILE:
        return _read_single(files[0], suffix, part)
    loose = read_loose_files(files, name=str(path))
    if loose is None:
        raise _refusal(path, files)
    return loose


def _read_single(path: Path, suffix: str, part: str | None) -> TableSource:
    """The table in a file, by its content where that is surely of another format than its name says."""
    with reading(path), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    packed = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
    if head.startswith(_ZIP) and b"xl/" not in head and not _is_workbook(path):
        packed = "zip"
    is_page = bool(_PAGE.match(head))
    if packed or is_page:
        raise DataError(
            f"file {path}",
            got="an HTML page" if is_page else f"a file packed by {packed}",
            expected=f"what its suffix '{suffix}' promises",
            remedy="Fetch the table itself, or open the page in a spreadsheet program and save it as .xlsx"
            if is_page
            else "Unpack it, and name the file inside",
        )
    held = _suffix_of_content(head)
    if held is None and suffix in _WORKBOOKS and b"\0" not in head and head.strip():
        held = ".csv"
    if held is None or held in _SAME.get(suffix, (suffix,)):
        return _SINGLE_FILE[suffix](path, part)
    found = _SHARDS[held]([path], name=str(path)) if held in _SHARDS else _SINGLE_FILE[held](path, part)
    kind, kind_zh = _FORMATS[held]
    note = Finding(
        "note",
        None,
        None,
        0,
        message=f"{path.name} holds {kind}, and is read as such.",
        message_zh=f"{path.name} 的内容是{kind_zh}，按此读取。",
        remedy=f"Give it the suffix {held}",
        remedy_zh=f"请把后缀改为 {held}",
    )
    return replace(found, findings=lambda: [note, *found.findings()])


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return True  # a damaged one


def without_part(path: Path) -> tuple[Path, str | None]:
    """A path, and what stands behind ``#`` in it, unless that belongs to the file's name."""
    bare, mark, part = str(path).rpartition("#")
    if not mark or path.exists() or not part or not Path(bare).is_file():
        return path, None
    return Path(bare), part


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
        _load_findings(path)
    except (FileNotFoundError, pa.ArrowInvalid, ValueError, TypeError):
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
        # Beside the table and before it, so that a stored table always has them.
        told = json.dumps([finding.to_dict() for finding in source.findings()], ensure_ascii=False)
        with whole_file(_findings_path(path)) as beside:
            beside.write_text(told, encoding="utf-8")


def _findings_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _load_findings(path: Path) -> list[Finding]:
    return [Finding(**finding) for finding in json.loads(_findings_path(path).read_text(encoding="utf-8"))]

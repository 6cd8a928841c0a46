"""WebDataset shards: tar archives in which files that share a name up to its first dot are one row.

A column for each extension: media as ``{bytes, path}``, ``txt`` and ``cls`` as text, and the members of ``json`` as
columns ``json.member``. Nothing is unpacked to disk.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from tonggan.data.records import Record, from_records
from tonggan.data.source import TableSource, blocks_of, fingerprint_of, reading
from tonggan.errors import DataError

# What WebDataset's own decoders read as text or as an integer.
_TEXT_EXTENSIONS = {"txt", "text", "transcript", "cls", "cls2", "class", "count", "index", "inx", "id"}


def read_webdataset(files: Sequence[Path], *, name: str) -> TableSource:
    """The table in tar shards, in the order of ``files``; the column ``__key__`` names each row.

    Raises:
        DataError: a shard is damaged, a text in it is not UTF-8, or two files of a row have one extension.
    """
    blocks = (block for path in files for block in blocks_of(path))

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        return from_records(
            lambda: _records(files, with_media=True),
            types=lambda: _records(files, with_media=False),
            who=f"shards {name}",
        )

    return TableSource(
        name=name, base=files[0].parent, fingerprint=fingerprint_of(blocks, kind="webdataset"), read=read
    )


def _records(files: Sequence[Path], *, with_media: bool) -> Iterator[Record]:
    for path in files:
        key: str | None = None
        values: dict[str, Any] = {}
        num_bytes = 0
        for member, content in _members(path, with_media=with_media):
            member_key, extension = _split_name(member.name)
            if member_key != key:
                if key is not None:
                    yield Record({"__key__": key, **values}, place=f"{path.name}:{key}", num_bytes=num_bytes)
                key, values, num_bytes = member_key, {}, 0
            columns = _columns(path, member, extension, content)
            if values.keys() & columns.keys():
                raise DataError(
                    f"shard {path}, row '{key}'",
                    got=f"two files with the extension '.{extension}'",
                    expected="one of each",
                    remedy="Name the files of different rows differently up to the first dot",
                )
            values.update(columns)
            num_bytes += member.size
        if key is not None:
            yield Record({"__key__": key, **values}, place=f"{path.name}:{key}", num_bytes=num_bytes)


def _members(path: Path, *, with_media: bool) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The files of an archive; without media, only the content of texts is read."""
    try:
        with reading(path), path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # or a shard of a million files would be remembered whole
                extension = _split_name(member.name)[1]
                if not member.isfile() or PurePosixPath(member.name).name.startswith(".") or not extension:
                    continue
                file = archive.extractfile(member)
                wanted = file is not None and (with_media or extension in _TEXT_EXTENSIONS or extension == "json")
                yield member, file.read() if file is not None and wanted else b""
            # The module takes for the end also a damaged header behind the first one, and a cut before a header; the
            # true end is a block of zeros.
            raw.seek(archive.offset)
            end = raw.read(tarfile.BLOCKSIZE)
            if end.strip(b"\0") or len(end) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError("a damaged header" if end else "an archive that is cut off: its end is missing")
    except (tarfile.TarError, EOFError) as error:
        raise DataError(
            f"shard {path}", got=str(error), expected="a whole tar archive", remedy="Fetch or write the shard again"
        ) from error


def _split_name(name: str) -> tuple[str, str]:
    """``"a/b.left.JPG"`` is the file ``left.jpg`` of the row ``a/b``."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _columns(path: Path, member: tarfile.TarInfo, extension: str, content: bytes) -> dict[str, Any]:
    last = extension.rpartition(".")[2]
    if last not in _TEXT_EXTENSIONS and last != "json":
        return {extension: {"bytes": content, "path": member.name}}
    try:
        text = content.decode("utf-8-sig")
        if last in _TEXT_EXTENSIONS:
            return {extension: text.strip() or None}
        values = json.loads(text)
    except ValueError as error:  # not UTF-8, or not JSON
        raise DataError(
            f"shard {path}, file {member.name}",
            got=str(error),
            expected="JSON in UTF-8" if last == "json" else "text in UTF-8",
            remedy="Correct the file and write the shard again",
        ) from error
    if not isinstance(values, dict):
        return {extension: values}
    return {f"{extension}.{name}": value for name, value in values.items()}

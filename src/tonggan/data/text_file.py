"""The encoding of a text table and its fingerprint, both from one pass over its bytes.

UTF-8 with or without its mark, UTF-16 with its mark, and GB18030 (with GBK and GB2312) are told apart; any other
encoding is an error rather than a guess that would garble names.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from tonggan.data.source import blocks_of, fingerprint_of
from tonggan.errors import DataError


def inspect_text(path: Path, *, kind: str) -> tuple[str, str]:
    """The name of the encoding of a text file as Python calls it, and the fingerprint of its content.

    Raises:
        DataError: the file is empty, cannot be read, or has none of the encodings.
    """
    head = next(blocks_of(path), b"")
    if not head.strip():
        raise DataError(
            f"file {path}", got="an empty file", expected="a table", remedy="Check that this is the right file"
        )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            for _ in _decoded(path, "utf-16"):
                pass
        except UnicodeDecodeError as error:
            raise _refusal(path, got="the mark of UTF-16, but other bytes behind it") from error
        return "utf-16", fingerprint_of(blocks_of(path), kind=kind)
    check = _Utf8Check()
    fingerprint = fingerprint_of(check.watch(blocks_of(path)), kind=kind)
    if check.bad_line is None:
        return "utf-8-sig", fingerprint
    if _is_chinese(path):
        return "gb18030", fingerprint
    raise _refusal(path, got=f"bytes in line {check.bad_line} that are neither UTF-8 nor GB18030")


def _refusal(path: Path, *, got: str) -> DataError:
    return DataError(f"file {path}", got=got, expected="text in UTF-8", remedy="Save the file as UTF-8")


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for block in blocks_of(path):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


class _Utf8Check:
    """Whether blocks that pass by are UTF-8, and in which line they first are not."""

    def __init__(self) -> None:
        self.bad_line: int | None = None

    def watch(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        line = 1
        for block in blocks:
            if self.bad_line is None:
                pending = decoder.getstate()[0]
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as error:
                    self.bad_line = line + (pending + block).count(b"\n", 0, error.start)
            line += block.count(b"\n")
            yield block
        if self.bad_line is None and decoder.getstate()[0]:
            self.bad_line = line


def _is_chinese(path: Path) -> bool:
    """Whether the file is GB18030 and most of its characters beyond ASCII are everyday Chinese.

    Western accents followed by a letter are legal GB18030 too, but then give characters outside GB 2312.
    """
    common = seen = 0
    try:
        for text in _decoded(path, "gb18030"):
            characters = "".join(character for character in text if ord(character) > 127)
            seen += len(characters)
            common += len(characters.encode("gb2312", errors="ignore")) // 2
    except UnicodeDecodeError:
        return False
    return common * 2 > seen

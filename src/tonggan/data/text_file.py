"""The encoding of a text table and its fingerprint, from a few passes over its bytes, and what a person should know.

The policy is that of ``tonggan.encodings``; an encoding that is not sure is an error, as a wrong one garbles names.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tonggan.data.findings import Finding, Severity
from tonggan.data.source import blocks_of, fingerprint_of
from tonggan.encodings import encoding_of_mark, guess_encoding, guess_utf_16, known_encoding
from tonggan.errors import DataError

_SAMPLE_BYTES = 1 << 20  # of the lines with bytes beyond ASCII, in which the evidence is looked for
_MAX_DAMAGED = 0.01  # of a file's characters


@dataclass(frozen=True)
class TextFile:
    """How a text file is read.

    Attributes:
        encoding: as Python calls it.
        errors: ``strict``, or ``replace`` where some bytes are damaged.
        fingerprint: of its content and of how it is read.
        findings: what a person should know of it.
    """

    encoding: str
    errors: str
    fingerprint: str
    findings: tuple[Finding, ...] = ()


def inspect_text(path: Path, *, kind: str, declared: str | None = None) -> TextFile:
    """How to read a text file.

    Args:
        path: the file.
        kind: the reader, for the fingerprint.
        declared: the encoding that the user names.

    Raises:
        DataError: the file is empty, cannot be read, is not in the declared encoding, or its encoding is not sure.
    """
    head = next(blocks_of(path), b"")
    if not head.strip():
        raise DataError(
            f"file {path}", got="an empty file", expected="a table", remedy="Check that this is the right file"
        )
    if declared is not None:
        return _declared(path, declared, kind=kind)
    check = _Utf8Check()
    fingerprint = fingerprint_of(check.watch(blocks_of(path)), kind=kind)
    mark = encoding_of_mark(head)
    if mark is not None and not mark.startswith("utf-8"):
        if _first_error(path, mark) is not None:
            name = mark.upper()
            raise _refusal(path, got=f"the mark of {name}, but other bytes behind it")
        return TextFile(mark, "strict", fingerprint)
    if utf_16 := guess_utf_16(head):
        return _guessed(path, utf_16, fingerprint)
    if check.bad_line is None:
        return TextFile("utf-8-sig", "strict", fingerprint)
    guess = guess_encoding(_sample(path))
    if guess is None or not guess.is_sure:
        line = check.bad_line
        if guess is None:
            raise _refusal(path, got=f"bytes in line {line} that are not UTF-8")
        names = " or ".join((guess.name, *guess.others))
        raise _refusal(path, got=f"bytes in line {line} that are not UTF-8; they may be {names}")
    if guess.name == "utf-8":
        return _damaged(path, fingerprint, check.bad_line)
    return _guessed(path, guess.name, fingerprint)


def _declared(path: Path, declared: str, *, kind: str) -> TextFile:
    encoding = known_encoding(declared)
    if encoding is None:
        raise DataError(
            f"file {path}",
            got=f"the encoding '{declared}'",
            expected="one that Python knows, such as utf-8, gb18030, big5, shift_jis or windows-1252",
            remedy="Correct what follows '#'",
        )
    if (line := _first_error(path, encoding)) is not None:
        raise _refusal(path, got=f"bytes in line {line} that are not {declared}")
    return TextFile(
        "utf-8-sig" if encoding == "utf-8" else encoding,
        "strict",
        fingerprint_of(blocks_of(path), kind=f"{kind}#{encoding}"),
    )


def _guessed(path: Path, encoding: str, fingerprint: str) -> TextFile:
    if (line := _first_error(path, encoding)) is not None:
        raise _refusal(
            path, got=f"bytes in line {line} that are not {encoding}, which the rest of the file seems to be"
        )
    finding = _finding(
        "note",
        message=f"{path.name} is read as {encoding}, judging by its characters.",
        message_zh=f"根据字符判断，{path.name} 按 {encoding} 编码读取。",
        remedy=f"If its texts look wrong, name the encoding behind '#', e.g. {path.name}#big5",
        remedy_zh=f"如果文字显示不对，请在“#”后写明编码，例如 {path.name}#big5",
    )
    return TextFile(encoding, "strict", fingerprint, (finding,))


def _damaged(path: Path, fingerprint: str, line: int) -> TextFile:
    num_damaged = num_all = 0
    for text in _decoded(path, "utf-8", errors="replace"):
        num_damaged += text.count("\ufffd")
        num_all += len(text)
    if num_damaged > _MAX_DAMAGED * num_all:
        raise _refusal(path, got=f"UTF-8 in which {num_damaged:,} characters are damaged, the first in line {line}")
    finding = _finding(
        "warning",
        count=num_damaged,
        message=f"{path.name} is UTF-8, but {num_damaged:,} places are damaged, the first in line {line}; "
        "a replacement character stands there.",
        message_zh=f"{path.name} 是 UTF-8，但有 {num_damaged:,} 处损坏，第一处在第 {line} 行；这些位置以替换字符代替。",
        remedy="Write or fetch the file again, or correct these lines",
        remedy_zh="请重新导出或下载该文件，或更正这些行",
    )
    return TextFile("utf-8-sig", "replace", fingerprint, (finding,))


def _finding(
    severity: Severity, *, count: int = 0, message: str, message_zh: str, remedy: str, remedy_zh: str
) -> Finding:
    return Finding(severity, None, None, count, message, message_zh, remedy, remedy_zh)


def _refusal(path: Path, *, got: str) -> DataError:
    return DataError(
        f"file {path}",
        got=got,
        expected="text whose encoding is certain",
        remedy=f"Save the file as UTF-8, or name its encoding behind '#', e.g. {path.name}#windows-1252",
    )


def _sample(path: Path) -> bytes:
    """The first lines that hold bytes beyond ASCII."""
    found = bytearray()
    rest = b""
    for block in blocks_of(path):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if not line.isascii():
                found += line + b"\n"
        if len(found) >= _SAMPLE_BYTES:
            break
    return bytes(found if rest.isascii() else found + rest)


def _first_error(path: Path, encoding: str) -> int | None:
    """The line in which the file is first not legal in ``encoding``."""
    line = 1
    try:
        for text in _decoded(path, encoding, errors="strict"):
            line += text.count("\n")
    except UnicodeDecodeError as error:
        return line + error.object.count(b"\n", 0, error.start)
    except UnicodeError:  # e.g. UTF-16 without the mark that it needs
        return line
    return None


def _decoded(path: Path, encoding: str, *, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
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

"""One source file read from disk: its text whatever its encoding and line ends, or why it is not read.

It judges no quality and runs no parser. Of a Jupyter notebook the code is one text, without outputs and attachments.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tonggan.encodings import encoding_of_mark, guess_encoding, guess_utf_16, known_encoding

MAX_BYTES = 2_000_000
"""Files beyond are data, not written code."""

_HEAD_BYTES = 8000  # in which a NUL byte tells binary files, as git does it
_MAX_INVALID_SHARE = 0.1  # of characters; beyond, it is no text
_DECLARED = re.compile(rb"^\s*(?:#|//|/\*|;|--|<!--|<\?).*?coding[:=]\W*([-\w.]+)")  # PEP 263, in any comment
_MAGIC = re.compile(r"\A(\s*+)([%!?].*+|.*+(?<=\?))$")  # commands to IPython, which are no code of the language
_SLASHES = {"c", "c++", "csharp", "go", "java", "javascript", "kotlin", "rust", "scala", "typescript"}
_LANGUAGES = {"c++": "cpp", "c#": "csharp", "ir": "r", "ipython": "python", "python3": "python"}


@dataclass(frozen=True)
class SourceFile:
    r"""The text of one file.

    Attributes:
        path: absolute.
        name: relative to the root it was found under, with ``/``; bytes of a file name that are no UTF-8 are escaped.
        language: as ``language_of`` names it; of a notebook the language of its cells; None where it is not known.
        text: with ``\n`` at every line end, without a byte order mark.
        sha256: of the file's bytes, hexadecimal.
        newline: what ends the file's lines, where they differ most of them.
        num_replaced: bytes that were not valid in the file's encoding, each U+FFFD in ``text``.
    """

    path: Path
    name: str
    language: str | None
    text: str
    sha256: str
    newline: Literal["\n", "\r\n"]
    num_replaced: int = 0


@dataclass(frozen=True)
class Skipped:
    """A file that was not read.

    Attributes:
        name: as in ``SourceFile``.
        reason: ``vanished``, ``unreadable``, ``not a regular file``, ``too large``, ``binary`` or ``damaged notebook``.
        detail: more for a person, e.g. its size; may be empty.
    """

    name: str
    reason: str
    detail: str = ""


def read_source(path: Path, *, root: Path, max_bytes: int = MAX_BYTES) -> SourceFile | Skipped:
    """The file at ``path``, which lies below ``root`` or is it.

    Its encoding is that of its byte order mark, else the one it declares in a comment in its first two lines (PEP 263),
    else UTF-8, else the one that its characters show (``tonggan.encodings``). What is invalid there becomes U+FFFD
    and is counted; where that is a tenth of all, the file is binary. Of a notebook the code cells are joined, and its
    prose becomes comments. No file is read beyond ``max_bytes``.
    """
    from tonggan.codelm.source_file import read_notebook
    from tonggan.grammars import language_of

    path = path.absolute()
    name = _relative_name(path, root)
    content = read_bytes(path, max_bytes)
    if not isinstance(content, bytes):
        reason, detail = content
        return Skipped(name, reason, detail)
    encoding = _encoding_of(content)
    if b"\0" in content[:_HEAD_BYTES] and not encoding.startswith(("utf-16", "utf-32")):
        return Skipped(name, "binary", "it contains NUL bytes")
    text, num_replaced = _decode(content, encoding)
    if num_replaced > _MAX_INVALID_SHARE * len(text):
        return Skipped(name, "binary", f"{num_replaced:,} bytes are invalid in {encoding}")
    newline: Literal["\n", "\r\n"] = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    language = language_of(path)
    if path.suffix.lower() == ".ipynb":
        notebook = read_notebook(text)
        if notebook is None:
            return Skipped(name, "damaged notebook", "it is not JSON with cells")
        language, text = notebook
    return SourceFile(path, name, language, text, hashlib.sha256(content).hexdigest(), newline, num_replaced)


def _relative_name(path: Path, root: Path) -> str:
    root = root.absolute()
    relative = Path(path.name) if path == root else path.relative_to(root)
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")


def why_skipped(reason: str, detail: str) -> str:
    """``too large: 2,400,000 bytes``; the reason alone where there is nothing more to say."""
    return ": ".join(filter(None, (reason, detail)))


def read_bytes(path: Path, max_bytes: int) -> bytes | tuple[str, str]:
    """The bytes of a regular file; else the reason and the detail of its being skipped. It never waits for a pipe."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "not a regular file", ""
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):  # It has become a pipe since.
                return "not a regular file", ""
            if status.st_size > max_bytes:
                return "too large", f"{status.st_size:,} bytes"
            content = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return "vanished", ""
    except OSError as error:  # No permission, a loop of symbolic links, a damaged disk.
        return "unreadable", error.strerror or str(error)
    return content if len(content) <= max_bytes else ("too large", f"more than {max_bytes:,} bytes")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _encoding_of(content: bytes) -> str:
    mark = encoding_of_mark(content)
    if mark is not None:
        return mark
    for line in content[:_HEAD_BYTES].split(b"\n", 2)[:2]:
        declared = _DECLARED.match(line)
        if declared:
            return known_encoding(declared[1].decode("ascii", "replace")) or "utf-8"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        guess = guess_encoding(content)
        return guess.name if guess is not None and guess.is_sure else "utf-8"
    return guess_utf_16(content[:_HEAD_BYTES]) or "utf-8"


def _decode(content: bytes, encoding: str) -> tuple[str, int]:
    """The text, and how many characters of it stand for invalid bytes."""
    try:
        return content.decode(encoding), 0
    except UnicodeError:
        text = content.decode(encoding, "replace")
        return text, text.count("\N{REPLACEMENT CHARACTER}")


def read_notebook(text: str) -> tuple[str, str] | None:
    """The language and the code of a notebook; None where ``text`` is none.

    Cells stand in their order with an empty line between; prose, and lines to IPython (``%``, ``!``), become comments.

    Args:
        text: the file's JSON (nbformat 3 and later).
    """
    try:
        notebook = json.loads(text)
        language = _language_of(notebook.get("metadata", {}))
        parts = [part for cell in _cells_of(notebook) if (part := _source_of(cell, language))]
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return None
    code = "\n\n".join(parts) + "\n" if parts else ""
    return language, code.encode("utf-8", "replace").decode("utf-8")  # JSON can hold halves of surrogate pairs.


def _cells_of(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "cells" in notebook:
        yield from notebook["cells"]
    else:
        for sheet in notebook["worksheets"]:
            yield from sheet["cells"]


def _language_of(metadata: dict[str, Any]) -> str:
    for group, key in (("language_info", "name"), ("kernelspec", "language")):
        named = metadata.get(group, {}).get(key)
        if named:
            return _LANGUAGES.get(named.lower(), str(named).lower())
    return "python"


def _source_of(cell: dict[str, Any], language: str) -> str:
    """A cell as code; nothing for an empty one."""
    source = cell.get("source", cell.get("input", ""))
    lines = ("".join(source) if isinstance(source, list) else source).strip("\n").split("\n")
    comment = "//" if language in _SLASHES else "#"
    is_code = cell["cell_type"] == "code" and not lines[0].startswith("%%")
    if is_code and language == "python":
        lines = [_MAGIC.sub(rf"\1{comment} \2", line) for line in lines]
    elif not is_code:
        lines = [f"{comment} {line}".rstrip() for line in lines]
    joined = "\n".join(lines).rstrip()
    return "" if joined in ("", comment) else joined

"""The code of a Jupyter notebook as one source text; outputs and attachments are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_MAGIC = re.compile(r"\A(\s*+)([%!?].*+|.*+(?<=\?))$")  # commands to IPython, which are no code of the language
_SLASHES = {"c", "c++", "csharp", "go", "java", "javascript", "kotlin", "rust", "scala", "typescript"}
_LANGUAGES = {"c++": "cpp", "c#": "csharp", "ir": "r", "ipython": "python", "python3": "python"}


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

"""Every rule that a file is cleaned by takes as long as the file, whatever is in it."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest

pytest.importorskip("detect_secrets")

from tonggan.codelm.corpus.filters import why_dropped
from tonggan.codelm.corpus.licenses import license_of_text
from tonggan.codelm.corpus.secrets import redact
from tonggan.codelm.source_file import SourceFile, read_notebook
from tonggan.codelm.units import units_of
from tonggan.errors import DataError
from tonggan.grammars import language_of, parse

LENGTH = 150_000
PIECES = {
    "spaces": " ", "lines": "\n", "keys that end nowhere": "-----BEGIN PRIVATE KEY-----\n", "addresses": ".1.1.1",
    "groups": "1:", "e-mail": "a@", "labels": "ab.", "urls": "://a:", "assignments": "= ", "digits": "1", "stars": "*",
    "hashes": "#", "tags": "<", "comments": "<!--", "references": "&#", "instructions": "<?", "quotes": '"',
    "letters": "A", "escapes": "\\x11", "licenses": "redistribution and use in source and binary forms ",
}  # fmt: skip


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())
def test_no_text_takes_long(tmp_path, piece, monkeypatch):
    monkeypatch.setitem(parse.__kwdefaults__, "seconds", 1.0)  # not 5, after which a parser is stopped
    text = "@x" + piece * (LENGTH // len(piece)) + "x"
    start = time.thread_time()
    for name in ("a.html", "a.py", "a.md"):
        source = SourceFile(tmp_path / name, name, language_of(name), text, "", "\n")
        why_dropped(source)
        redact(text, language=source.language)
        with suppress(DataError):  # a parser was stopped
            units_of(source)
    license_of_text(text)
    read_notebook(json.dumps({"cells": [{"cell_type": "code", "source": text}]}))
    assert time.thread_time() - start < 17

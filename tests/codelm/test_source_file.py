"""Files of all encodings, line ends and sizes, read or skipped with the reason."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from tonggan.codelm.source_file import Skipped, SourceFile, read_notebook, read_source


@pytest.fixture
def read(tmp_path):
    def read(content: bytes, name: str = "a.py", **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read_source(path, root=tmp_path, **options)

    return read


def test_a_file_and_what_is_known_of_it(read, tmp_path):
    source = read(b"x = 1\n", "有 空格/🙂 a.py")
    assert source == SourceFile(
        path=tmp_path / "有 空格" / "🙂 a.py",
        name="有 空格/🙂 a.py",
        language="python",
        text="x = 1\n",
        sha256=hashlib.sha256(b"x = 1\n").hexdigest(),
        newline="\n",
    )
    assert read_source(source.path, root=source.path).name == "🙂 a.py"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("\N{BYTE ORDER MARK}é\n".encode(), "é\n"),
        ("é 文\n".encode("utf-16"), "é 文\n"),
        ("é 文\n".encode("utf-32"), "é 文\n"),
        ("# -*- coding: latin-1 -*-\né\n".encode("latin-1"), "# -*- coding: latin-1 -*-\né\n"),
        (
            "#!/bin/x\n# vim: set fileencoding=gbk :\n文\n".encode("gbk"),
            "#!/bin/x\n# vim: set fileencoding=gbk :\n文\n",
        ),
        (b"# coding: rot13\nx\n", "# coding: rot13\nx\n"),
        (b"# coding: no-such\nx\n", "# coding: no-such\nx\n"),
        ("name = 'café'  # déjà vu\n".encode("latin-1"), "name = 'café'  # déjà vu\n"),
        ("# 读取文件的内容，然后返回\n".encode("gb18030"), "# 读取文件的内容，然后返回\n"),
        ("# 讀取檔案的內容，然後返回\n".encode("big5"), "# 讀取檔案的內容，然後返回\n"),
        ("# ファイルを読み込む\n".encode("cp932"), "# ファイルを読み込む\n"),
        ("x = 1  # text\n".encode("utf-16-le"), "x = 1  # text\n"),
        ("# coding: idna\né\n".encode(), "# coding: idna\né\n"),
        ("# coding: punycode\né\n".encode(), "# coding: punycode\né\n"),
        (b"", ""),
    ],
)
def test_encodings(read, content, text):
    source = read(content)
    assert (source.text, source.num_replaced) == (text, 0)


def test_invalid_utf_8_is_replaced_and_told(read):
    source = read("name = 'café'  # 文字与文字\n".encode() + b"# caf\xe9\n")
    assert source.text == "name = 'café'  # 文字与文字\n# caf\N{REPLACEMENT CHARACTER}\n"
    assert source.num_replaced == 1
    assert read(b"\xfd\xfc\xfd\xe9\xe8 mostly not text").reason == "binary"


@pytest.mark.parametrize(
    ("content", "text", "newline"),
    [
        (b"a\r\nb\r\n", "a\nb\n", "\r\n"),
        (b"a\nb\r\nc\n", "a\nb\nc\n", "\n"),
        (b"a\rb\r", "a\nb\n", "\n"),
        (b"a", "a", "\n"),
    ],
)
def test_line_ends(read, content, text, newline):
    source = read(content)
    assert (source.text, source.newline) == (text, newline)


def test_what_is_no_text_is_skipped(read, tmp_path):
    assert read(b"\x7fELF\0\0\1") == Skipped("a.py", "binary", "it contains NUL bytes")
    assert read_source(tmp_path / "gone.py", root=tmp_path).reason == "vanished"
    (tmp_path / "folder.py").mkdir()
    assert read_source(tmp_path / "folder.py", root=tmp_path).reason == "not a regular file"
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert read_source(tmp_path / "loop.py", root=tmp_path).reason == "unreadable"
    os.mkfifo(tmp_path / "pipe.py")  # Opening it would wait for ever.
    assert read_source(tmp_path / "pipe.py", root=tmp_path).reason == "not a regular file"


def test_a_file_of_50_megabytes_costs_nothing(tmp_path):
    path = tmp_path / "big.py"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    begin = time.process_time()
    assert read_source(path, root=tmp_path) == Skipped("big.py", "too large", "50,000,000 bytes")
    assert time.process_time() - begin < 0.5
    assert read_source(path, root=tmp_path, max_bytes=60_000_000).reason == "binary"


def test_a_name_that_is_no_utf_8_is_written_in_escapes(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.py")
    path.write_text("x = 1\n")
    assert read_source(path, root=tmp_path).name == "caf\\xe9.py"


def cell(kind: str, source: str | list[str]) -> dict:
    return {"cell_type": kind, "source": source, "outputs": [{"text": "no output is kept"}]}


def test_code_cells_are_joined_and_prose_becomes_comments():
    notebook = {
        "cells": [
            cell("markdown", "# Title\n\nSome words."),
            cell("code", ["%matplotlib inline\n", "x = 10 % 3\n", "  !ls\n", "print?"]),
            cell("code", ""),
            cell("code", "%%bash\nls"),
            cell("raw", "raw"),
        ],
        "metadata": {"kernelspec": {"language": "python"}},
    }
    assert read_notebook(json.dumps(notebook)) == (
        "python",
        "# # Title\n#\n# Some words.\n\n"
        "# %matplotlib inline\nx = 10 % 3\n  # !ls\n# print?\n\n# %%bash\n# ls\n\n# raw\n",
    )


def test_other_languages_and_the_older_format():
    notebook = {"cells": [cell("markdown", "Hello"), cell("code", "val x = 1")]}
    notebook["metadata"] = {"language_info": {"name": "Scala"}}
    assert read_notebook(json.dumps(notebook)) == ("scala", "// Hello\n\nval x = 1\n")
    older = {"metadata": {}, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"]}]}]}
    assert read_notebook(json.dumps(older)) == ("python", "x = 1\n")
    assert read_notebook('{"cells": [], "metadata": {}}') == ("python", "")


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"source": 1}]}', "[" * 10**5]
)
def test_what_is_no_notebook(text, tmp_path):
    assert read_notebook(text) is None
    (tmp_path / "a.ipynb").write_text(text)
    assert read_source(tmp_path / "a.ipynb", root=tmp_path).reason == "damaged notebook"


def test_half_a_surrogate_pair_does_no_harm():
    _, text = read_notebook('{"cells": [{"cell_type": "code", "source": "x = \'\\ud83d\'"}]}')
    assert text == "x = '?'\n"

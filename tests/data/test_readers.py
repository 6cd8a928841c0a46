import gzip
import json
import os
import resource
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forked
from tonggan.data.readers import open_table
from tonggan.errors import CacheError, DataError


def write(path, num_rows=3):
    path.write_text("path,label\n" + "".join(f"{row}.png,{row % 2}\n" for row in range(num_rows)))
    return path


def test_the_second_time_comes_from_the_cache(tmp_path):
    path = write(tmp_path / "a.csv")
    first = open_table(path, cache=tmp_path / "cache")
    stored = tmp_path / "cache" / "tables" / f"{first.fingerprint}.arrow"
    before = stored.stat().st_mtime_ns
    assert open_table(str(path), cache=tmp_path / "cache").fingerprint == first.fingerprint
    assert stored.stat().st_mtime_ns == before
    write(path, 4)
    assert len(open_table(path, cache=tmp_path / "cache")) == 4
    assert len(first) == 3  # what is open stays as it was


def test_one_content_in_two_folders_keeps_two_bases(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    tables = [open_table(write(tmp_path / name / "a.csv"), cache=tmp_path / "cache") for name in ("a", "b")]
    assert tables[0].fingerprint == tables[1].fingerprint
    assert [table.base for table in tables] == [tmp_path / "a", tmp_path / "b"]


def test_a_damaged_stored_table_is_made_again(tmp_path):
    path = write(tmp_path / "a.csv")
    stored = tmp_path / "cache" / "tables" / f"{open_table(path, cache=tmp_path / 'cache').fingerprint}.arrow"
    for content in (b"", stored.read_bytes()[:200]):
        stored.write_bytes(content)
        assert len(open_table(path, cache=tmp_path / "cache")) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "no such file"),
        ("none-*.csv", "no such file"),
        ("a.docx", "got the suffix '.docx', expected one of .csv, .tsv, .tab, .txt, .jsonl"),
        ("a.csv.gz", "got the suffix '.gz'"),
        ("two-*", "got 2 files, e.g. two-1.csv and two-2.csv"),
    ],
)
def test_sources_that_cannot_be_opened(tmp_path, name, message):
    for file in ("a.docx", "a.csv.gz", "two-1.csv", "two-2.csv"):
        write(tmp_path / file)
    with pytest.raises(DataError, match=message):
        open_table(tmp_path / name, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="got a list of int, expected a path, a data frame"):
        open_table([1, 2], cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="set TONGGAN_CACHE to another folder"):
        open_table(write(tmp_path / "a.csv"), cache=tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the root user")
def test_a_cache_without_permission(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(CacheError, match="Permission denied"):
        open_table(write(tmp_path / "a.csv"), cache=tmp_path / "cache")


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    path = write(tmp_path / "a.csv", 100_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(CacheError, match=r"Free space there, or set TONGGAN_CACHE"):
            open_table(path, cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.suffix in {".arrow", ".partial"}]
    assert len(open_table(path, cache=tmp_path / "cache")) == 100_000


def test_two_at_once_store_one_table(tmp_path):
    path = write(tmp_path / "a.csv", 50_000)
    with ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(lambda _: open_table(path, cache=tmp_path / "cache"), range(4)))
    assert {table.values("path", np.array([49_999]))[0] for table in tables} == {"49999.png"}
    assert len(list((tmp_path / "cache" / "tables").glob("*.arrow"))) == 1


def test_killed_while_storing(tmp_path):
    path = write(tmp_path / "a.csv", 300_000)
    code = "import sys; from pathlib import Path; from tonggan.data.readers import open_table; "
    code += "open_table(sys.argv[1], cache=Path(sys.argv[2]))"
    source = str(Path(sys.modules["tonggan"].__path__[0]).parent)
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "cache")]
    process = forked.Process(command, env={**os.environ, "PYTHONPATH": source})
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cache").rglob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "cache").rglob("*.arrow"))
    assert len(open_table(path, cache=tmp_path / "cache")) == 300_000
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_pipes_and_standard_input(tmp_path, monkeypatch):
    content = b"a,b\n1,2\n3,4\n"
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,))
    writer.start()
    table = open_table(fifo, cache=tmp_path / "cache")
    writer.join()
    assert table.values("b") == ["2", "4"]
    assert table.base == Path.cwd()
    assert table.source == str(fifo)
    for given in (content.decode(), '{"a": "1", "b": "2"}\n{"a": "3", "b": "4"}\n'):
        code = "import sys; from tonggan.data.readers import open_table; from pathlib import Path;"
        code += "print(open_table('-', cache=Path(sys.argv[1])).values('b'))"
        done = forked.run([sys.executable, "-c", code, str(tmp_path / "c")], lines=given)
        assert done.stdout.strip() == "['2', '4']", done.stderr


ROWS = [{"a": "x", "b": "1"}, {"a": "ü", "b": "2"}]


def written(path, kind):
    """The rows as a file of one format, whatever it is called."""
    table = pa.table({name: [row[name] for row in ROWS] for name in ("a", "b")})
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "workbook":
        book = openpyxl.Workbook()
        for row in (("a", "b"), *(tuple(row.values()) for row in ROWS)):
            book.active.append(row)
        with path.open("wb") as file:
            book.save(file)
    elif kind == "lines":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "list":
        path.write_text(json.dumps(ROWS, indent=1, ensure_ascii=False))
    else:
        path.write_text("a,b\n" + "".join(f"{row['a']},{row['b']}\n" for row in ROWS))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("a.csv", "workbook", "a.csv holds an Excel workbook, and is read as such."),
        ("a.csv", "parquet", "a.csv holds a Parquet file, and is read as such."),
        ("a.txt", "lines", "a.txt holds JSON, and is read as such."),
        ("a.csv", "list", "a.csv holds JSON, and is read as such."),
        ("a.xlsx", "text", "a.xlsx holds text with separators, and is read as such."),
        ("a.jsonl", "parquet", "a.jsonl holds a Parquet file, and is read as such."),
        ("a.json", "list", ""),
        ("a.jsonl", "list", ""),
        ("a.ndjson", "lines", ""),
        ("a.json", "lines", ""),
    ],
)
def test_a_file_is_read_by_what_it_holds(tmp_path, name, kind, said):
    table = open_table(written(tmp_path / name, kind), cache=tmp_path / "cache")
    assert [dict(zip(("a", "b"), row, strict=True)) for row in zip(*map(table.values, "ab"), strict=True)] == ROWS
    assert "".join(finding.message for finding in table.findings) == said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", gzip.compress(b"a,b\n1,2\n"), "packed by gzip.*Unpack it"),
        ("a.csv", b"<!DOCTYPE html>\n<table><tr><td>1", "an HTML page"),
        ("a.xlsx", b"<html><table><tr><td>1", "an HTML page"),
        ("a.json", b'[{"a": 1}, {"a"', "JSON Lines"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"(?s){name}.*{said}"):
        open_table(tmp_path / name, cache=tmp_path / "cache")

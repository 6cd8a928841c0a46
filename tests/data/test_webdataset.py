import io
import json
import tarfile

import pytest

from tonggan.data.readers import open_table
from tonggan.errors import DataError


def write_shard(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_row_is_the_files_of_one_name(tmp_path):
    files = []
    for row in range(3):
        files += [
            (f"./a/{row}.jpg", b"\xff\xd8\xff" + bytes([row])),
            (f"./a/{row}.json", json.dumps({"caption": f"row {row}", "size": row}).encode()),
        ]
        if row != 1:
            files.append((f"./a/{row}.cls", str(row).encode() + b"\n"))
    table = open_table(write_shard(tmp_path / "a.tar", files), cache=tmp_path / "cache")
    assert table.names == ["__key__", "jpg", "json.caption", "json.size", "cls"]
    assert table.values("__key__") == ["./a/0", "./a/1", "./a/2"]
    assert table.values("jpg")[2] == {"bytes": b"\xff\xd8\xff\x02", "path": "./a/2.jpg"}
    assert table.values("json.caption") == ["row 0", "row 1", "row 2"]
    assert table.values("json.size") == [0, 1, 2]
    assert table.values("cls") == ["0", None, "2"]


def test_shards_of_a_folder_in_order(tmp_path):
    for shard in (1, 0):
        write_shard(tmp_path / f"s-{shard}.tar", [(f"{shard}.left.PNG", b"p"), (f"{shard}.txt", "通感".encode())])
    for source in (tmp_path, tmp_path / "s-*.tar"):
        table = open_table(source, cache=tmp_path / "cache")
        assert table.names == ["__key__", "left.png", "txt"]
        assert table.values("__key__") == ["0", "1"]
        assert table.values("txt") == ["通感", "通感"]


def test_a_thousand_rows_need_no_unpacking(tmp_path):
    files = [(f"{row:04d}.{kind}", kind.encode() * 20) for row in range(1000) for kind in ("wav", "txt")]
    table = open_table(write_shard(tmp_path / "a.tar", files), cache=tmp_path / "cache")
    assert len(table) == 1000
    assert table.values("wav")[999] == {"bytes": b"wav" * 20, "path": "0999.wav"}


def test_damaged_shards(tmp_path):
    path = write_shard(tmp_path / "a.tar", [(f"{row}.txt", b"text" * 300) for row in range(4)])
    whole = path.read_bytes()
    broken_header = whole[:2048] + b"\xff" * 100 + whole[2148:]
    for content in (b"", b"no archive" * 200, whole[:3000], whole[:2100], whole[:2048], whole[:8192], broken_header):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.tar: .*expected a whole tar archive"):
            open_table(path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("1.txt", b"a"), ("1.TXT", b"b")], "two files with the extension '.txt'"),
        ([("1.txt", b"\xff\xff")], "file 1.txt: .*text in UTF-8"),
        ([("1.json", b"{")], "file 1.json: .*JSON in UTF-8"),
        ([("readme", b"a")], "no columns|no rows"),
    ],
)
def test_content_that_cannot_be_used(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        open_table(write_shard(tmp_path / "a.tar", files), cache=tmp_path / "cache")

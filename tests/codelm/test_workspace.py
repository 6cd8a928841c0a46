from pathlib import Path

from tonggan.codelm.workspace import Workspace


def test_buffers_stand_before_files(tmp_path):
    file = tmp_path / "文件 😀.py"
    file.write_text("on disk\n", encoding="utf-8")
    workspace = Workspace(tmp_path)
    assert workspace.text_of(file) == "on disk\n"
    workspace.open(file, "unsaved\n")
    assert workspace.text_of(file) == "unsaved\n"
    assert workspace.overlays() == {"文件 😀.py": "unsaved\n"}
    workspace.close(file)
    assert workspace.text_of(file) == "on disk\n"
    file.write_text("changed on disk\n", encoding="utf-8")
    assert workspace.text_of(file) == "changed on disk\n"
    file.unlink()
    assert workspace.text_of(file) is None


def test_no_text_of_what_is_long_or_binary_or_a_folder(tmp_path):
    (tmp_path / "long.py").write_bytes(b"x = 1\n" * 10_000_000)
    (tmp_path / "binary.py").write_bytes(b"a\0b")
    (tmp_path / "invalid.py").write_bytes(b"\xef\xbb\xbfname = '\xff'\n")
    workspace = Workspace(tmp_path)
    assert [workspace.text_of(tmp_path / name) for name in ("long.py", "binary.py", ".")] == [None] * 3
    assert workspace.text_of(tmp_path / "invalid.py") == "name = '\ufffd'\n"


def test_edits_nearby_are_one(tmp_path):
    workspace = Workspace(tmp_path)
    lines = [f"line {number}" for number in range(100)]
    path = tmp_path / "a.py"
    workspace.open(path, "\n".join(lines))
    for line in (3, 5, 50, 52, 4):
        lines[line] += " changed"
        workspace.change(path, "\n".join(lines))
    assert [edit.line for edit in workspace.recent_edits] == [4, 52, 5]
    workspace.change(path, "\n".join(lines))
    assert len(workspace.recent_edits) == 3


def test_the_last_used_file_is_first(tmp_path):
    workspace = Workspace(tmp_path)
    for name in ("a.py", "b.py"):
        workspace.open(tmp_path / name, "")
    workspace.change(tmp_path / "a.py", "x")
    assert [path.name for path in workspace.open_files] == ["a.py", "b.py"]


def test_files_outside(tmp_path):
    workspace = Workspace(tmp_path / "repository")
    outside = tmp_path / "other.py"
    workspace.open(outside, "x = 1\n")
    assert workspace.text_of(outside) == "x = 1\n"
    assert workspace.overlays() == {}
    assert workspace.name_of(outside) == outside.resolve().as_posix()
    assert workspace.name_of(Path(workspace.root) / "a" / "b.py") == "a/b.py"

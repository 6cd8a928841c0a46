"""Whole files: the new content or the old, never a part."""

import pytest

from tonggan.files import whole_file


def test_what_was_written_takes_the_place(tmp_path):
    path = tmp_path / "deep" / "file"
    for content in ("first", "second"):
        with whole_file(path) as partial:
            partial.write_text(content)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def write_half(path, error):
    with whole_file(path) as partial:
        partial.write_text("ne")
        raise error


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_trace(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]

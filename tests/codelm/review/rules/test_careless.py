import pytest

from review_scene import findings_in, messages

MUTABLE, OPEN, COPY = "mutable-default", "resource-left-open", "copy-not-renamed"


def test_a_default_that_is_changed(tmp_path):
    (found,) = findings_in(tmp_path, "def f(a, seen=[]):\n    seen.append(a)\n", MUTABLE)
    assert found.message == "the default of 'seen' is changed in f, and the next call gets it changed"
    assert [each.line for each in found.evidence] == [1, 2]
    assert messages(tmp_path, "def f(a, *, seen={}):\n    seen[a] = 1\n", MUTABLE)


@pytest.mark.parametrize(
    "text",
    [
        "def f(a, seen=[]):\n    return a in seen\n",
        "def f(a, seen=[]):\n    seen = list(seen)\n    seen.append(a)\n",
        "def f(a, seen=()):\n    seen.append(a)\n",
        "def f(a, _cache={}):\n    _cache[a] = 1\n",
    ],
)
def test_a_default_that_stays_is_silent(text, tmp_path):
    assert messages(tmp_path, text, MUTABLE) == []


def test_a_file_that_stays_open_when_something_raises(tmp_path):
    text = "import io\n\ndef f(path):\n    file = io.open(path)\n    text = file.read()\n    file.close()\n"
    assert messages(tmp_path, text, OPEN) == ["'file' stays open if something raises before it is closed in line 6"]
    assert messages(tmp_path, text.replace("text = file.read()", "text = 3"), OPEN) == []
    guarded = "def f(path):\n    file = open(path)\n    try:\n        file.read()\n    finally:\n        file.close()\n"
    assert messages(tmp_path, guarded, OPEN) == []
    assert messages(tmp_path, text.replace("io.open", "other.open"), OPEN) == []


COPIES = (
    "if left:\n    left.x = scale(left.x, {a}.width)\n    left.y = scale(left.y, left.width)\n"
    "if right:\n    right.x = scale(right.x, {b}.width)\n    right.y = scale(right.y, right.width)\n"
)


def test_a_copy_in_which_one_name_was_left(tmp_path):
    (found,) = findings_in(tmp_path, COPIES.format(a="left", b="left"), COPY)
    assert found.message == "'left' may be left over from the statement before: it is 'right' in 6 other places"
    assert found.start_line == 5
    assert messages(tmp_path, COPIES.format(a="left", b="right"), COPY) == []
    assert messages(tmp_path, COPIES.format(a="right", b="left"), COPY) == []

import pytest

from tonggan.codelm.review.learned.functions import functions_of, read_functions
from tonggan.codelm.source_file import read_source
from tonggan.errors import DataError

TEXT = '''import os

class Cache:
    @property
    def size(self):
        """How many.

    not indented as much"""
        return len(self.items)

    async def get(self, key):
        def inner():
            return key
        return inner()

if os.name == "nt":
    def plain(a): return a
'''


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "cache.py"
    path.write_text(TEXT)
    return read_source(path, root=tmp_path)


def test_functions_know_where_they_stand(source):
    found = functions_of(source)
    assert [(function.name, function.line) for function in found] == [
        ("Cache.size", 4), ("Cache.get", 11), ("plain", 17)
    ]  # fmt: skip
    lines = TEXT.splitlines()
    for function in found:
        compile(function.text, "function", "exec")
        for word in ("return", "key", "self"):
            offset = function.text.find(word)
            if offset >= 0:
                line, column = function.place(offset)
                assert lines[line - 1][column:].startswith(word)


def test_each_text_is_read_once(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("def f(a):\n    return a\n")
    (tmp_path / "stub.pyi").write_text("def g(a): ...\n")
    (tmp_path / "old.py").write_text("print 'python 2'\n")
    (tmp_path / "deep.py").write_text("a = " + "(" * 3000 + ")" * 3000)
    assert [function.path for function in read_functions([tmp_path])] == [f"{tmp_path.name}/a.py"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing there"):
        read_functions([tmp_path / "none"])

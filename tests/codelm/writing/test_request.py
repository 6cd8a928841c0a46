"""Where a function goes, what it is called, and what it has to pass."""

from __future__ import annotations

import pytest

from tonggan.codelm.writing.request import read_request
from tonggan.errors import ConfigError, DataError

SOURCE = '''\
"""Numbers."""


def filled(x):
    """Twice.

    >>> filled(2)
    4
    """
    ...


class Box:
    size = 1

    def one_line(self): pass


@property
def last(x):
    return x
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "numbers.py"
    path.write_text(SOURCE)
    return path


def test_a_function_at_the_line_gets_a_body(file):
    request = read_request("", file, 5)
    assert (request.name, request.owner, request.line, request.margin) == ("filled", "", 4, "    ")
    assert request.header.startswith("def filled(x):\n")
    assert request.header.endswith('4\n    """')
    assert request.whole("\n    return 2 * x") == SOURCE.replace("    ...", "    return 2 * x")
    assert request.sessions == ("Twice.\n\n>>> filled(2)\n4",)
    assert request.calls == ("filled(2)",)
    method = read_request("", file, 16)
    assert (method.name, method.owner, method.margin) == ("one_line", "Box", "        ")
    assert method.whole("\n        return 1") == SOURCE.replace(" pass", "\n        return 1")


def test_a_new_function_has_the_name_that_examples_or_tests_call(file):
    request = read_request("the mean", file, 12, examples=["mean([1, 3]) == 2; not mean([0])", "assert mean([]) == 0"])
    assert (request.name, request.header, request.line) == ("mean", "", 13)
    assert [each.source for each in request.examples] == ["mean([1, 3]) == 2", "not mean([0])", "mean([]) == 0"]
    assert [(each.got, each.expected) for each in request.examples][:2] == [("mean([1, 3])", "2"), ("", "")]
    whole = request.whole("def mean(x):\n    return 0")
    assert whole == SOURCE.replace("class Box", "def mean(x):\n    return 0\n\n\nclass Box")
    (file.parent / "test_it.py").write_text(
        "from numbers import filled, third\n\ndef test():\n    assert third(3) == 1\n"
    )
    named = read_request("", file, 20, tests=str(file.parent / "test_it.py"))
    assert (named.name, named.line, named.tests) == ("third", 19, "pytest -q 'test_it.py'")
    assert named.calls == ("third(3)",)
    assert named.whole("def third(x): return 1") == SOURCE.replace("@prop", "def third(x): return 1\n\n\n@prop")
    empty = read_request("", file, 4, tests=str(file.parent / "test_it.py"))
    assert empty.name == "filled"  # It has no body yet: that is what is missing.
    inside = read_request("def area(self): its area", file, 15)
    assert (inside.name, inside.owner, inside.indent) == ("area", "Box", "    ")
    assert "size = 1\n\n    def area(self): return 1\n\n    def one_line" in inside.whole("def area(self): return 1")
    end = read_request("def f(): nothing", file, SOURCE.count("\n") + 2)
    assert end.whole("def f(): ...") == f"{SOURCE}\n\ndef f(): ...\n"


def test_a_function_that_only_begins_is_completed(tmp_path):
    path = tmp_path / "begun.py"
    path.write_bytes('# -*- coding: gbk -*-\r\nNAME = "名"\r\n\r\ndef begun(x):\r\n    """它"""\r\n'.encode("gbk"))
    request = read_request("", path, 5)
    assert request.name == "begun"
    written = request.encoded(request.whole("\n    return x"))
    assert written == path.read_bytes() + b"    return x\r\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"line": 99}, "a line from 1 to 23"),
        ({"line": 0}, "a line from 1 to 23"),
        ({"line": 12, "examples": ["x = 3"]}, "expressions that must be true"),
        ({"line": 12, "examples": ["mean(("]}, "expressions that must be true"),
        ({"line": 12, "tests": "none.py"}, "a file of tests below"),
    ],
)
def test_what_cannot_be_asked_is_named(file, options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        read_request("it", file, options.pop("line"), **options)


def test_examples_that_no_interpreter_shows_are_none(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('def f(x):\n    """Of lines.\n\n    >>> f("a\n    b")\n    1\nb")\n    """\n')
    request = read_request("", path, 1)
    assert (request.sessions, request.has_checks) == ((), False)


def test_files_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / "a.py"
    for content, message in (
        (b"def f(:\n    pass\n", "does not parse: .*line 1"),
        (b"x = '\xff'\n", "not text"),
        (b"a = 1\r\nb = 2\n", "several kinds"),
        (b"print 'old'\n", "does not parse"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_request("it", path, 1)
    path.write_text("VALUES = [\n    1,\n    2,\n]\n")
    with pytest.raises(ConfigError, match="inside the statement that begins at line 1"):
        read_request("it", path, 3)
    with pytest.raises(DataError, match="got no such file"):
        read_request("it", tmp_path / "none.py", 1)

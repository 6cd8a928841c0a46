from textwrap import dedent

import pytest

from review_scene import findings_in, messages

UNKNOWN, MISSING = "docstring-unknown-parameter", "docstring-missing-parameter"

GOOGLE = '''
    def load(path, {name}, strict=False):
        """Load a table.

        Args:
            path (str): where it is,
                on the disk.
            encoding: of its text.
            strict: whether to stop.
        """
        return path
'''
NUMPY = '''
    def load(path, {name}, strict=False):
        """Load a table.

        Parameters
        ----------
        path : str
            Where it is.
        encoding : str, optional
            Of its text.
        strict : bool
            Whether to stop.

        Returns
        -------
        str
        """
        return path
'''
SPHINX = '''
    def load(path, {name}, strict=False):
        """Load a table.

        :param str path: where it is
        :param encoding: of its
            text
        :param strict: whether to stop
        """
        return path
'''


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_a_renamed_parameter_is_told_with_its_new_name(text, tmp_path):
    assert findings_in(tmp_path, text.format(name="encoding"), UNKNOWN, MISSING) == []
    (found,) = findings_in(tmp_path, text.format(name="codec"), UNKNOWN, MISSING)
    assert found.message == "'encoding' is described, but load calls this parameter 'codec'"
    lines = dedent(text).split("\n")
    assert lines[found.start_line - 1][found.start_column - 1 : found.end_column - 1] == "encoding"
    assert found.edit is not None
    assert (found.edit.text, found.edit.start_line) == ("codec", found.start_line)
    assert "def load" in found.evidence[1].text


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_a_parameter_that_is_gone_or_new_is_told(text, tmp_path):
    gone = text.replace("{name}, ", "")
    assert messages(tmp_path, gone, UNKNOWN, MISSING) == ["'encoding' is described, but load has no such parameter"]
    new = text.replace("{name}", "encoding, limit=3")
    (found,) = findings_in(tmp_path, new, UNKNOWN, MISSING)
    assert found.message == "'limit' is not described; all other parameters of load are"
    assert found.edit is None


SILENT = {
    "takes any": 'def f(a, **options):\n    """F.\n\n    Args:\n        a: one.\n        depth: of it.\n    """\n',
    "decorated": '@other.fill\ndef f(a):\n    """F.\n\n    Args:\n        a: one.\n        depth: of it.\n    """\n',
    "inner": 'def f(a):\n    """F.\n\n    Args:\n        a: one.\n        x: of it.\n    """\n    return lambda x: x\n',
    "stars": 'def f(*args, **kwargs):\n    """F.\n\n    Args:\n        *args: all.\n        **kwargs: more.\n    """\n',
    "two at once": 'def f(a, b):\n    """F.\n\n    Args:\n        a, b: both.\n    """\n',
    "free text": 'def f(a):\n    """F.\n\n    Args:\n        as those of g.\n        Note: more\n    """\n',
    "property": 'class C:\n    @property\n    def f(s):\n     """F.\n\n     Args:\n         x: it.\n     """\n',
    "overload": (
        "from typing import overload\n@overload\ndef f(a: int, depth: int) -> int: ...\n"
        'def f(a):\n    """F.\n\n    Args:\n        a: one.\n        depth: of it.\n    """\n'
    ),
    "C signature": 'def f(*a):\n    """f(x, y)\n\n    Args:\n        x: one.\n        y: two.\n    """\n',
    "private": 'def f(a, b, _c=1):\n    """F.\n\n    Args:\n        a: one.\n        b: of it.\n    """\n',
    "mentioned": 'def f(a, b, c):\n    """F of c.\n\n    Args:\n        a: one.\n        b: of it.\n    """\n',
    "unknown base": 'class C(x.B):\n    """C.\n\n    Args:\n        a: one.\n    """\n',
}


@pytest.mark.parametrize("name", SILENT)
def test_what_is_not_sure_is_silent(name, tmp_path):
    assert messages(tmp_path, SILENT[name], UNKNOWN, MISSING) == []


def test_an_escaped_underscore_is_one(tmp_path):
    for told in (r":param type\_: it.", r"Args:" + "\n        " + r"type\_: it."):
        text = f'def f(type_):\n    r"""F.\n\n    {told}\n    """\n'
        assert messages(tmp_path, text, UNKNOWN) == []
    (found,) = findings_in(
        tmp_path, 'def f(a, b):\n    r"""F.\n\n    :param a: x\n    :param type\\_: it.\n    """\n', UNKNOWN
    )
    assert (found.message, found.edit) == ("'type_' is described, but f calls this parameter 'b'", None)


def test_a_class_is_compared_with_its_init_or_its_fields(tmp_path):
    text = '''
    from dataclasses import dataclass

    class Base:
        """A base.

        Args:
            size: of it.
            color: of it.
        """
        def __init__(self, size, colour):
            self.size = size

    class Child(Base):
        """A child.

        Args:
            size: of it.
            width: of it.
        """

    @dataclass
    class Point:
        """A point.

        Args:
            x: across.
            z: upwards.
        """
        x: int
        y: int
    '''
    assert messages(tmp_path, text, UNKNOWN) == [
        "'color' is described, but Base calls this parameter 'colour'",
        "'width' is described, but Child calls this parameter 'colour'",
        "'z' is described, but Point calls this parameter 'y'",
    ]


def test_a_decorator_that_hands_on_hides_nothing(tmp_path):
    text = '''
    from functools import wraps

    def logged(function):
        @wraps(function)
        def inner(*args, **kwargs):
            return function(*args, **kwargs)
        return inner

    def filled(function):
        @wraps(function)
        def inner(*args, **kwargs):
            return function(1, *args, **kwargs)
        return inner

    @logged
    def one(a):
        """One.

        Args:
            b: it.
        """

    @filled
    def two(a):
        """Two.

        Args:
            b: it.
        """
    '''
    assert messages(tmp_path, text, UNKNOWN) == ["'b' is described, but one has no such parameter"]


def test_a_decorator_under_which_nearly_all_agree_is_trusted(tmp_path):
    one = '\n@other.fill(3)\ndef f{n}(a, b):\n    """F.\n\n    Args:\n        a: one.\n        {told}: two.\n    """\n'
    text = "import other\n" + "".join(one.format(n=n, told="b" if n else "depth_of") for n in range(12))
    assert messages(tmp_path, text, UNKNOWN) == ["'depth_of' is described, but f0 calls this parameter 'b'"]
    dropped = text.replace("def f0(a, b)", "def f0(a)")
    assert messages(tmp_path, dropped, UNKNOWN) == ["'depth_of' is described, but f0 has no such parameter"]
    few = "import other\n" + one.format(n=0, told="depth_of").replace("(a, b)", "(a)")
    assert messages(tmp_path, few, UNKNOWN) == []


def test_a_default_behind_a_name_of_sphinx_is_none(tmp_path):
    text = 'def f(a, b):\n    """F.\n\n    :param a=True: x\n    :param int {told}=3: it.\n    """\n'
    assert messages(tmp_path, text.format(told="b"), UNKNOWN, MISSING) == []
    (found,) = findings_in(tmp_path, text.format(told="c"), UNKNOWN)
    assert found.message == "'c' is described, but f calls this parameter 'b'"
    assert (found.start_line, found.start_column) == (5, 16)


def test_a_name_without_its_underscore_is_the_same(tmp_path):
    text = 'def f(a, class_):\n    """F.\n\n    :param a: x\n    :param {told}: it.\n    """\n'
    assert messages(tmp_path, text.format(told="class"), UNKNOWN) == []
    assert len(messages(tmp_path, text.format(told="color"), UNKNOWN)) == 1


def test_a_class_may_describe_what_its_methods_take(tmp_path):
    text = 'class F:\n    """F.\n\n    Args:\n        a: x\n        {told}: it.\n    """\n' + (
        "    def __init__(self, a): ...\n    def __call__(self, extra): ...\n"
    )
    assert messages(tmp_path, text.format(told="extra"), UNKNOWN) == []
    said = "'second' is described, but F has no such parameter"
    assert messages(tmp_path, text.format(told="second"), UNKNOWN) == [said]


def test_what_a_decorator_may_describe_is_not_missed(tmp_path):
    one = '\n{decorator}\ndef f{n}(a, b, c):\n    """F.\n\n    Args:\n        a: one.\n        b: two.\n    """\n'
    filled = "import other\n" + "".join(one.format(n=n, decorator="@other.fill(3)") for n in range(12))
    assert messages(tmp_path, filled, MISSING) == []
    told = filled.replace("b: two.", "b: two.\n        c: three.").replace("c: three.", "", 1)
    assert messages(tmp_path, told, MISSING) == ["'c' is not described; all other parameters of f0 are"]
    assert len(messages(tmp_path, filled.replace("@other.fill(3)", ""), MISSING)) == 12

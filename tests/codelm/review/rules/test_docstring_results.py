import pytest

from review_scene import messages

RAISES, RETURNS = "docstring-raises", "docstring-returns"


def raising(body, told="ValueError: x is negative."):
    return f'def f(x):\n    """F.\n\n    Raises:\n        {told}\n    """\n    {body}\n'


def test_another_exception_than_the_told_one(tmp_path):
    assert messages(tmp_path, raising("if x < 0:\n        raise TypeError(x)"), RAISES) == [
        "f raises TypeError, which its docstring leaves out, and not ValueError, which it names"
    ]
    both = "if x < 0:\n        raise ValueError(x)\n    raise TypeError(x)"
    assert messages(tmp_path, raising(both), RAISES) == ["f raises TypeError, which its docstring leaves out"]


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError(x)",
        "raise UnicodeDecodeError(x)",  # derives from what is told
        "try:\n        raise TypeError(x)\n    except TypeError:\n        pass",
        "with converting():\n        raise TypeError(x)",
        "raise NotImplementedError",
        "raise make(x)",
        "def g():\n        raise TypeError(x)",
    ],
)
def test_what_is_told_or_caught_is_silent(body, tmp_path):
    assert messages(tmp_path, raising(body), RAISES) == []


def test_classes_of_the_repository_are_known(tmp_path):
    errors = "class Base(Exception): ...\nclass Child(Base): ...\nclass Other(Exception): ...\n"
    text = "from errors import Base, Child, Other\n\n" + raising("raise {}(x)", "Base: always.")
    assert messages(tmp_path, text.format("Child"), RAISES, errors=errors) == []
    assert messages(tmp_path, text.format("Other"), RAISES, errors=errors)


def returning(body, told="Returns:\n        A number."):
    return f'def f(x):\n    """F.\n\n    {told}\n    """\n    {body}\n'


def test_a_result_of_nothing_is_told(tmp_path):
    expected = ["a result is described, but f returns nothing"]
    assert messages(tmp_path, returning("x.append(1)"), RETURNS) == expected
    assert messages(tmp_path, returning("x.append(1)", ":returns: a number"), RETURNS) == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return x", "Returns:\n        A number."),
        ("yield x", "Yields:\n        A number."),
        ("x.append(1)", "Returns:\n        None."),
        ("raise NotImplementedError", "Returns:\n        A number."),
        ("...", "Returns:\n        A number."),
        ("x.append(1)\n    raise ValueError", "Returns:\n        A number."),
    ],
)
def test_results_that_are_given_or_left_to_others_are_silent(body, told, tmp_path):
    assert messages(tmp_path, returning(body, told), RETURNS) == []

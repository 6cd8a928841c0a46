import pytest

from review_scene import messages
from tonggan.codelm.review.rules.docstring_yields import YIELDS


def told(folder, section, text, body, returns=""):
    code = f'def read(path){returns}:\n    """Read it.\n\n    {section}:\n        {text}\n    """\n    {body}\n'
    return messages(folder, code, YIELDS)


def test_a_generator_whose_result_is_described_is_told(tmp_path):
    assert told(tmp_path, "Returns", "list: the lines.", "yield path") == [
        "a result is described, but read is a generator"
    ]


def test_one_value_that_is_said_to_be_yielded_is_told(tmp_path):
    said = "read is said to yield, but it returns one value"
    assert told(tmp_path, "Yields", "str: a line.", "return [path]") == [said]
    assert told(tmp_path, "Yields", "str: a line.", "return make(path)", " -> list[str]") == [said]


@pytest.mark.parametrize(
    ("section", "text", "body", "returns"),
    [
        ("Yields", "str: a line.", "yield path", ""),
        ("Returns", "An iterator over lines.", "yield path", ""),
        ("Returns", "Iterator[str]: the lines.", "yield path", ""),
        ("Returns", "str: all.", "return path", ""),
        ("Yields", "str: a line.", "return (line for line in path)", ""),
        ("Yields", "str: a line.", "return make(path)", ""),
        ("Yields", "str: a line.", "return make(path)", " -> Iterator[str]"),
        ("Returns", "int: the count.", "yield path\n    return 3", ""),
    ],
)
def test_what_agrees_or_may_agree_is_not(tmp_path, section, text, body, returns):
    assert told(tmp_path, section, text, body, returns) == []


def test_what_a_decorator_makes_of_a_generator_is_not_told(tmp_path):
    function = 'def f():\n  """F.\n\n  Returns:\n    int: x.\n  """\n  yield 3\n'
    code = f"import contextlib\n@contextlib.contextmanager\n{function}"
    assert messages(tmp_path, code, YIELDS) == []

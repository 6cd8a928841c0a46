import pytest

from tonggan.codelm.completion.stops import Extent, extent_of
from tonggan.codelm.completion.syntax import Syntax


def extent(marked, *, language="python", multiline="auto"):
    offset = marked.index("|")
    text = marked.replace("|", "", 1)
    return extent_of(text, offset, language=language, multiline=multiline, syntax=Syntax.of(text, language))


@pytest.mark.parametrize(
    ("marked", "kind"),
    [
        ("def f(a):|\n", "block"),
        ("def f(a):|\n    return a\n", "line"),
        ("def f(a):\n    |\n\nx = 1\n", "block"),
        ("def f(a):\n    |\n    return a\n", "line"),
        ("def f(a):\n    return |\n", "line"),
        ('def f(a):\n    """What it is."""\n    |\n\n\ndef g():\n    pass\n', "block"),
        ("class A:\n\tdef f(self):\n\t\t|\n\n\tdef g(self):\n\t\tpass\n", "block"),
        ("x = foo(|)\n", "line"),
        ("if 价格 > 3:\n    |\n", "block"),
        ("def f(:\n  ((\nx = |\n", "line"),
        ("|", "line"),
    ],
)
def test_python(marked, kind):
    assert extent(marked).kind == kind


@pytest.mark.parametrize(
    ("language", "marked", "kind"),
    [
        ("javascript", "function f(a) {\n  |\n}\n", "block"),
        ("javascript", "function f(a) {|\n}\n", "block"),
        ("javascript", "function f(a) {\n  |\n  return a;\n}\n", "line"),
        ("go", "func f(a int) int {\n\t|\n}\n", "block"),
        ("java", "class A {\n  int f(int a) {\n    |\n  }\n}\n", "block"),
        ("c", "int f(int a) {\n  |\n}\n", "block"),
        ("rust", "fn f(a: i32) -> i32 {\n    |\n}\n", "block"),
    ],
)
def test_languages_with_braces(language, marked, kind):
    assert extent(marked, language=language).kind == kind


def test_may_be_asked_for_or_forbidden():
    assert extent("def f(a):\n    |\n", multiline="never").kind == "line"
    assert extent("x = 1\n|\n", multiline="always").kind == "block"
    assert extent("x = foo(| + 1)\n", multiline="always").kind == "line"


def test_a_line_ends_with_it():
    assert Extent("line").end("a + b") is None
    assert Extent("line").end("a + b\n    c") == 5


def test_a_block_ends_where_lines_are_indented_less():
    block = Extent("block", indent="    ", by_indent=True)
    assert block.end("x = 1\n    if x:\n        y = 2\n\n    return y\n") is None
    assert block.end("x = 1\n    return x\n\ndef g") == len("x = 1\n    return x")
    assert block.end("x = 1\n\n\n\n") == len("x = 1")
    opened = Extent("block", by_indent=True)
    assert opened.end("\n        return x\n    y = 1") == len("\n        return x")


def test_a_block_ends_with_its_bracket():
    block = Extent("block")
    assert block.end("if (a) { b(); }\n  return c;\n}\n") == len("if (a) { b(); }\n  return c;")
    assert block.end("f(a)\n") is None

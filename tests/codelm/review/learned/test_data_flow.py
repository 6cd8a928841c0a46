import ast
from textwrap import dedent

import pytest

from tonggan.codelm.review.learned.code_graph import CodeGraph
from tonggan.codelm.review.learned.data_flow import DataFlow
from tonggan.codelm.review.learned.rewrites import Rewrite, rewrites_of


def reaching(text, name, line):
    """Lines of the writes that may come last before the read of ``name`` in ``line``."""
    tree = ast.parse(dedent(text).strip()).body[0]
    found = DataFlow(tree).reaching
    return sorted(
        {
            write.lineno
            for node, writes in found.items()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and (node.id, node.lineno) == (name, line)
            for write in writes
        }
    )


@pytest.mark.parametrize(
    ("text", "name", "line", "expected"),
    [
        ("def f(a):\n    a = a + 1\n    return a", "a", 3, [2]),
        ("def f(a):\n    a = a + 1\n    return a", "a", 2, [1]),
        ("def f(a):\n    if a:\n        b = 1\n    else:\n        b = 2\n    return b", "b", 6, [3, 5]),
        ("def f(a):\n    b = 0\n    if a:\n        b = 1\n    return b", "b", 5, [2, 4]),
        ("def f(a):\n    b = 0\n    if a:\n        return b\n    b = 1\n    return b", "b", 6, [5]),
        ("def f(a):\n    b = 0\n    for x in a:\n        b = b + x\n    return b", "b", 4, [2, 4]),
        ("def f(a):\n    b = 0\n    while a:\n        b = 1\n        break\n    return b", "b", 6, [2]),
        ("def f(a):\n    try:\n        b = g()\n    except E:\n        b = 1\n    return b", "b", 6, [3, 5]),
        ("def f(a):\n    with g(a) as b:\n        return b", "b", 3, [2]),
        ("def f(a):\n    b = 1\n    return [b for b in a if b]", "b", 3, [3]),
        ("def f(a):\n    if (b := a):\n        return b", "b", 3, [2]),
        ("def f(a):\n    b = 1\n    def g(c=b):\n        return b\n    return g", "b", 4, [2]),
        ("def f(a, *b, c=0, **d):\n    return b, c, d", "d", 2, [1]),
        ("def f(a):\n    match a:\n        case 1:\n            b = 1\n        case _:\n            b = 2\n"
         "    return b", "b", 7, [4, 6]),
    ],
)  # fmt: skip
def test_the_last_writes_of_a_name(text, name, line, expected):
    assert reaching(text, name, line) == expected


def test_what_a_write_is_computed_from():
    tree = ast.parse("def f(a, b):\n    c = a + g(b)\n    c += a\n    return c").body[0]
    flow = DataFlow(tree)
    found = {(write.id, write.lineno): [read.id for read in reads] for write, reads in flow.computed_from.items()}
    assert found == {("c", 2): ["a", "g", "b"], ("c", 3): ["a"]}


def rewrite(text: str, line: str, old: str, new: str) -> Rewrite:
    """The one that puts ``new`` in the place of ``old`` on a line of a function."""
    start = text.index(line) + line.index(old)
    edits = ((start, start + len(old), new),)
    (found,) = [each for each in rewrites_of(CodeGraph(text)) if each.edits == edits]
    return found


UNREAD = "def f(left, right):\n    low = min(left, left)\n    return low\n"
COUNTED = "def f(items):\n    n = 0\n    for item in items:\n        n += 1\n        print(item)\n    return n\n\n"
KEYWORD = "def f(width, height):\n    g(width=height, height=height)\n    return width\n"
ATTRIBUTE = "def f(self, size):\n    self.size = self\n    return {'self': size}\n"


@pytest.mark.parametrize(
    ("text", "line", "old", "new", "label"),
    [
        (UNREAD, "left)", "left", "right", "shared, other unread"),
        (UNREAD, "return low", "low", "left", "alone, other often"),
        (COUNTED, "print(item)", "item", "n", "alone, other often"),
        (COUNTED, "n\n\n", "n", "items", "shared, other once"),
        (KEYWORD, "height, height", "height", "width", "shared, other once, other asked"),
        (KEYWORD, "height)\n", "height", "width", "shared, other once, this asked"),
        (ATTRIBUTE, "self\n", "self", "size", "shared, other once, other asked"),
        (ATTRIBUTE, "size}", "size", "self", "alone, other often, other asked"),
    ],
)
def test_a_name_is_labeled_by_what_a_wrong_one_leaves_behind(text, line, old, new, label):
    assert rewrite(text, line, old, new).label == label


def test_a_name_that_nothing_has_written_is_labeled():
    text = "def f(a):\n    while a:\n        g(c, a)\n        return a\n    c = a\n    return c\n"
    assert rewrite(text, "c, a", "c", "a").label == "unwritten, other often"


def test_an_attribute_that_the_place_asks_for_is_labeled():
    text = "def f(self, other):\n    self.width = other.height\n    return other.width\n"
    assert rewrite(text, "other.height", "height", "width").label == "attribute, other asked"
    assert rewrite(text, "other.width", "width", "height").label == "attribute"


def test_names_in_formatted_texts_count_as_read():
    text = "def f(a, b):\n    return a + b, a, f'{b}'\n"
    assert rewrite(text, "a, f", "a", "b").label == "shared, other often"

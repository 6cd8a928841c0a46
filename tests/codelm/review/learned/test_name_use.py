import pytest

from tonggan.codelm.review.learned.code_graph import CodeGraph
from tonggan.codelm.review.learned.rewrites import Rewrite, rewrites_of


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

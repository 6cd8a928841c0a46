import ast

import pytest

from tonggan.codelm.review.learned.code_graph import CodeGraph
from tonggan.codelm.review.learned.rewrites import LABELS, rewrites_of


def changed(text, kind):
    graph = CodeGraph(text)
    return {rewrite.apply(text) for rewrite in rewrites_of(graph) if rewrite.kind == kind}


@pytest.mark.parametrize(
    ("text", "kind", "some"),
    [
        ("def f(a, b):\n    return a", "variable", {"def f(a, b):\n    return b"}),
        ("def f(a):\n    return a.x + a.y", "attribute",
         {"def f(a):\n    return a.y + a.y", "def f(a):\n    return a.x + a.x"}),
        ("def f(a):\n    return a < 1", "comparison",
         {f"def f(a):\n    return a {sign} 1" for sign in ("<=", ">", ">=")}),
        ("def f(a):\n    return a is not None", "comparison",
         {"def f(a):\n    return a is None", "def f(a):\n    return a != None"}),
        ("def f(a):\n    return (a) not in a", "comparison", {"def f(a):\n    return (a) in a"}),
        ("def f(a):\n    a += (a - 1)", "operator", {"def f(a):\n    a -= (a - 1)", "def f(a):\n    a += (a + 1)"}),
        ("def f(a):\n    return a and a", "operator", {"def f(a):\n    return a or a"}),
        ("def f(a):\n    return a[1:]", "constant", {"def f(a):\n    return a[0:]", "def f(a):\n    return a[2:]"}),
        ("def f(a):\n    return g(a, True)", "constant", {"def f(a):\n    return g(a, False)"}),
        ("def f(a, b):\n    return g(a, b[0], k=1)", "arguments", {"def f(a, b):\n    return g(b[0], a, k=1)"}),
        ("def f(a):\n    if a:\n        return 1", "negation", {"def f(a):\n    if not a:\n        return 1"}),
        ("def f(a):\n    if not a:\n        return 1", "negation", {"def f(a):\n    if a:\n        return 1"}),
    ],
)  # fmt: skip
def test_each_kind_of_change(text, kind, some):
    assert some <= changed(text, kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("def f(a):\n    b = a\n    return b", "arguments"),
        ("def f(a):\n    return g(1, 2)", "arguments"),  # most often as it must be
        ("def f(a):\n    return 0x10 + 1000", "constant"),
        ("def f(a):\n    return print(a)", "variable"),
        ("def f(a):\n    b = 1\n    return f'{a + b}'", "operator"),
    ],
)
def test_what_is_not_changed(text, kind):
    assert not changed(text, kind)


def test_a_name_is_not_replaced_by_one_that_comes_later():
    text = "def f(a):\n    b = a\n    c = b\n    return c"
    assert "def f(a):\n    b = c\n    c = b\n    return c" not in changed(text, "variable")


def test_all_changes_can_be_parsed_and_point_at_a_token():
    text = (
        "def f(self, a, b=1, *rest):\n    if not a or (b := a.x) >= 2:\n        a.y, c = g(a, b), 'é' + b\n"
        "    while a.x is b and len(rest) - 1:\n        c += a.y if b else a.x\n    return {c: [b for b in a]}"
    )
    graph = CodeGraph(text)
    found = rewrites_of(graph)
    assert {rewrite.kind for rewrite in found} >= {"variable", "attribute", "comparison", "operator", "negation"}
    for rewrite in found:
        ast.parse(rewrite.apply(text))
        assert rewrite.apply(text) != text
        assert rewrite.label in LABELS
        assert 0 <= rewrite.token < len(graph.tokens)
        assert bool(rewrite.label) or rewrite.sources


def test_attributes_that_a_name_has_elsewhere_may_stand_in_place_of_one():
    text = "def f(self, a):\n    return self.x + a.x"
    found = rewrites_of(CodeGraph(text), {"self": ("y", "x"), "b": ("z",)})
    assert {each.apply(text) for each in found if each.kind == "attribute"} == {text.replace("self.x", "self.y")}

import ast
from textwrap import dedent

import pytest

from tonggan.codelm.review.learned.data_flow import DataFlow


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

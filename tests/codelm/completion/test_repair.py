import pytest

from tonggan.codelm.completion.repair import repair


@pytest.mark.parametrize(
    ("before", "text", "after", "expected", "eaten"),
    [
        # What follows on the line anyway.
        ("print(", "x)", ")\n", "x", 0),
        ("print(", "x, y", ")\n", "x, y", 0),
        ("print(", "x) + f(y)", ")\n", "x) + f(y", 0),
        ("print(", "x) + y", ")\n", "x) + y", 1),
        ("a = [", "1, 2]", "]\n", "1, 2", 0),
        ("x = ", "first + second", " + second\n", "first", 0),
        # Lines that follow anyway.
        ("def f():\n    ", "x = 1\n    return x", "\n    return x\n", "x = 1", 0),
        ("    ", "return x", "\n    return x\n", "", 0),
        # Lines that repeat.
        ("x = 1\nx = 1\n", "x = 1", "\n", "", 0),
        ("def f():\n    ", "go()\n    go()\n    go()\n    go()", "\n", "go()\n    go()", 0),
        # Brackets.
        ("print(", "(x", "\n", "x", 0),
        ("x = f(a)", ")", "\n", "", 0),
        ("x = ", "f(a))", "\n", "f(a)", 0),
        ("x = ", 'f(")")', "\n", 'f(")")', 0),
        # Indentation.
        (
            "class A:\n\tdef f(self):\n\t\t",
            "if x:\n            return 1",
            "\n\tdef g(self):\n",
            "if x:\n\t\t\treturn 1",
            0,
        ),
        ("def f():\n    if x:\n        ", "y = 1\n\treturn y", "\n", "y = 1\n    return y", 0),
        # Control tokens.
        ("x = ", "1<|endoftext|>def", "\n", "1", 0),
        ("x = ", "<fim_middle>", "\n", "", 0),
        ("NAMES = ('<fim_prefix>', '<fim_middle>')\nx = ", "'<fim_middle>'", "\n", "'<fim_middle>'", 0),
        # What needs nothing.
        ("价格 = ", "单价 * 数量", "\n", "单价 * 数量", 0),
        ("", "import os", "", "import os", 0),
    ],
)
def test_repair(before, text, after, expected, eaten):
    repaired = repair(text, before=before, after=after)
    assert (repaired.text, repaired.eaten) == (expected, eaten)
    assert bool(repaired.notes) == (expected != text)

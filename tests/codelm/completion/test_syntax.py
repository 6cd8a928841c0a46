import inspect
import random
import textwrap

import pytest

from tonggan.codelm.completion.syntax import Syntax, breaks


def test_parsing_again_in_part_is_parsing_anew():
    drawn = random.Random(0)
    text = "def 价格(a, b):\n    return [a, b]\n\n\nclass A:\n    x = '😀'\n"
    former = Syntax.of(text, "python")
    for _ in range(60):
        place = drawn.randrange(len(text) + 1)
        text = text[:place] + drawn.choice(["", "(", "x", "\n    ", "数", ": "]) + text[place + drawn.randrange(2) :]
        former = Syntax.of(text, "python", former=former)
        assert str(former.tree.root_node) == str(Syntax.of(text, "python").tree.root_node)


def test_characters_and_bytes():
    syntax = Syntax.of("价 = 1\n", "python")
    assert [syntax.byte_of(offset) for offset in (0, 1, 2)] == [0, 3, 4]
    assert syntax.text_of(syntax.tree.root_node.children[0]) == "价 = 1"


def test_errors_are_counted_where_they_are():
    syntax = Syntax.of("x = 1\ny = = 2\n", "python")
    assert syntax.errors(0, 5) == 0
    assert syntax.errors(6, 14) >= 1


def check(marked, *, language="python"):
    before, text, after = marked.split("|")
    return breaks(text, before=before, after=after, language=language)


@pytest.mark.parametrize(
    "marked",
    [
        "x = |foo(1, 2)|\n",
        "x = foo(|a, |)\n",
        "x = foo(|a,|\n",
        "if x|:|\n    pass\n",
        "if (a ==| b and|\n        c):\n    pass\n",
        "try:\n    x = |1|\n",
        "def f(a):\n    |'''What it does,|\n",
        '"""Words (that are\nno code ]\n|any ) words|\n"""\n',
        "@|property|\n",
        "class 价格:\n    def 总数(self):\n        |return self.数量|\n",
        "x = [|1, 2|]\n",
        "x = ((1\ny = |2|\n",  # it was broken before
        "x = a + |b + \\|\n    c\n",
    ],
)
def test_sound_or_merely_unfinished(marked):
    assert not check(marked)


@pytest.mark.parametrize(
    "marked",
    [
        "x = |foo(1, 2))|\n",
        "x = |= 3|\n",
        "def f(a):\n    |return return a|\n",
        "x = foo(|a b c]|)\n",
        "for x |from y:|\n",
    ],
)
def test_broken(marked):
    assert check(marked)


def test_other_languages():
    assert not check("function f(a) {\n  |return a + 1;|\n}\n", language="javascript")
    assert check("function f(a) {\n  |return a + ) 1;|\n}\n", language="javascript")
    assert not check("int f(int a) {\n  |return g(a,|\n", language="c")


@pytest.mark.parametrize("module", [textwrap, inspect, random])
def test_no_line_of_the_standard_library_is_called_broken(module):
    source = inspect.getsource(module)
    lines = source.split("\n")
    drawn = random.Random(0)
    for number in drawn.sample(range(len(lines)), 40):
        column = drawn.randrange(len(lines[number]) + 1)
        before = "\n".join([*lines[:number], lines[number][:column]])
        after = "\n" + "\n".join(lines[number + 1 :])
        assert not breaks(lines[number][column:], before=before, after=after, language="python"), lines[number]

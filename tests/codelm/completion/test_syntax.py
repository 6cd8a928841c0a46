import random

from tonggan.codelm.completion.syntax import Syntax


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

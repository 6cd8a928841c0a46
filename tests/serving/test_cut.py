import pytest

from tonggan.language.prompt import Piece
from tonggan.serving.cut import Cut


def fill(cut, text, *, size=3, finish="length"):
    """What is left of ``text`` that comes in pieces, and how it ends."""
    shown = ""
    pieces = [text[first : first + size] for first in range(0, len(text), size)]
    for number, part in enumerate(pieces, start=1):
        piece = cut(Piece(part, [0], [], finish if number == len(pieces) else None))
        shown += piece.text
        if piece.finish is not None:
            return shown, piece.finish
    raise AssertionError("no end")


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("line", "suffix", "written", "shown", "finish"),
    [
        ("    x = ", "\n    return x\n", "1\n    y = 2\n    return x\n\ndef f", "1\n    y = 2", "stop"),
        ("    x = ", "\n    return x\n", "1\n    return", "1\n    return", "length"),
        ("    x = ", "\n    return x", "1\n    return x", "1", "stop"),
        ("print(", ")\nnext()\n", "value)\nother()\n", "value", "stop"),
        ("print(", ", end='')", "a, b, end='')", "a, b", "length"),
        ("f(a", "a)", "a", "a", "length"),
        ("    ", "\n    return x\n", "return x\n", "", "stop"),
        ("", "", "as it is\n\n  all", "as it is\n\n  all", "length"),
    ],
)
def test_a_text_ends_where_the_suffix_begins(size, line, suffix, written, shown, finish):
    assert fill(Cut(line=line, suffix=suffix), written, size=size) == (shown, finish)


def test_a_smaller_indent_ends_a_text():
    assert fill(Cut(indent=4), "x\n\n    y\n  z\n    w") == ("x\n\n    y", "stop")


def test_a_time_limit_waits_for_a_whole_line():
    times = iter([0.0, *([0.1] * 2), *([2.0] * 20)])
    shown, finish = fill(Cut(seconds=1.0, clock=lambda: next(times)), "first\nsecond\nthird\nfourth\n", size=6)
    assert finish == "stop"
    assert shown in ("first\nsecond", "first\nsecond\nthird")

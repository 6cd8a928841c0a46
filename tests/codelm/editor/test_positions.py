import random

import pytest
from lsprotocol import types
from pygls.workspace import TextDocument

from tonggan.codelm.editor.positions import offset_of, position_of, replace, utf16_length

TEXT = "x = '😀'\r\n\x0cdef 中():\n\n    pass"


def texts(alphabet, *, count=300):
    generator = random.Random(0)
    return ["".join(generator.choices(alphabet, k=generator.randrange(1, 20))) for _ in range(count)]


@pytest.mark.parametrize(
    ("line", "character", "rest"),
    [
        (0, 0, TEXT),
        (0, 7, "'\r\n\x0cdef 中():\n\n    pass"),
        (0, 6, "😀'\r\n\x0cdef 中():\n\n    pass"),
        (0, 99, "\r\n\x0cdef 中():\n\n    pass"),
        (1, 1, "def 中():\n\n    pass"),
        (1, 6, "():\n\n    pass"),
        (2, 0, "\n    pass"),
        (3, 8, ""),
        (9, 0, ""),
    ],
)
def test_positions_worked_by_hand(line, character, rest):
    assert TEXT[offset_of(TEXT, line=line, character=character) :] == rest


def test_there_and_back():
    for text in texts("ab😀中\n\r\x0c\u2028 "):
        for offset in range(len(text) + 1):
            if text[max(offset - 1, 0) : offset + 1] != "\r\n":  # between the two there is no position
                line, character = position_of(text, offset)
                assert offset_of(text, line=line, character=character) == offset


def test_edits_are_those_of_pygls_where_lines_end_with_line_feeds():
    generator = random.Random(1)
    for text in texts("ab😀中\n "):
        first, last = sorted(generator.randrange(len(text) + 1) for _ in range(2))
        start, end = position_of(text, first), position_of(text, last)
        changed = replace(text, start=start, end=end, new="x\n😀")
        assert changed == text[:first] + "x\n😀" + text[last:]
        document = TextDocument("file:///a", source=text)
        if end[0] < len(document.lines):  # pygls misplaces what is on the empty line after the last line feed
            change = types.Range(types.Position(*start), types.Position(*end))
            document.apply_change(types.TextDocumentContentChangePartial(range=change, text="x\n😀"))
            assert document.source == changed


def test_code_units():
    assert utf16_length("a中😀") == 4
    assert position_of("a\n中😀b", 4) == (1, 3)

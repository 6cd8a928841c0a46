import random

import pytest

from tonggan.codelm.editor.survival import surviving_share


@pytest.mark.parametrize(
    ("text", "buffer", "share"),
    [
        ("return a + b", "def add(a, b):\n    return a + b\n", 1.0),
        ("return a + b", "def add(a, b):\n    return a - b\n", 11 / 12),
        ("return a + b", "", 0.0),
        ("    x = 1\n    y = 2", "if z:\n\n  x = 1\r\n\r\n  y = 2\r\n", 1.0),
        ("abcd", "xxabyydxx", 2 / 4),
        ("", "anything", 1.0),
    ],
)
def test_shares_worked_by_hand(text, buffer, share):
    assert surviving_share(text, buffer) == pytest.approx(share)


def plain_distance(text, buffer):
    """Sellers' recurrence, cell by cell."""
    row = [0] * (len(buffer) + 1)
    for number, character in enumerate(text, start=1):
        previous, row = row, [number]
        for place, other in enumerate(buffer, start=1):
            row.append(min(previous[place] + 1, previous[place - 1] + (character != other), row[-1] + 1))
    return min(row)


def test_the_distance_is_that_of_the_plain_recurrence():
    generator = random.Random(0)
    for _ in range(100):
        text = "".join(generator.choices("abc", k=generator.randrange(1, 8)))
        buffer = "".join(generator.choices("abc", k=generator.randrange(0, 20)))
        assert surviving_share(text, buffer) == pytest.approx(1 - plain_distance(text, buffer) / len(text))


def test_a_huge_buffer_is_compared_by_lines():
    text = "first line here\nsecond line there"
    buffer = "filler\n" * 400_000
    assert surviving_share(text, buffer + "second line there\n") == pytest.approx(17 / 32)
    assert surviving_share(text, buffer + text) == 1.0

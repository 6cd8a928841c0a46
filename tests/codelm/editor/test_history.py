import random
import sqlite3
import threading
from pathlib import Path

import pytest

from tonggan.codelm.editor.history import History, Outcome, surviving_share
from tonggan.errors import CacheError

PATH = Path("/repository/源 码/a.py")


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


class Desk:
    """A history with a clock and a buffer that a test moves on."""

    def __init__(self, file=":memory:"):
        self.now = 1000.0
        self.buffers = {}
        self.history = History(file, text_of=self.buffers.get, clock=lambda: self.now)

    def offer(self, confidence=0.5, *, seen=2.0, invoked=False):
        number = self.history.offer(
            PATH, language="python", invoked=invoked, confidence=confidence, characters=12, milliseconds=80.0
        )
        self.now += seen
        self.history.withdraw(number)
        return number

    def look_after(self, seconds):
        self.now += seconds
        self.history.look()
        return self.history.outcomes()[0]


def test_acceptance_and_survival_at_each_look():
    desk = Desk()
    first, second = desk.offer(0.4), desk.offer(0.9)
    desk.history.accept(second, path=PATH, text="return a + b")
    assert [(each.confidence, each.accepted) for each in desk.history.outcomes()] == [(0.9, True), (0.4, False)]
    desk.buffers[PATH] = "    return a + b\n"
    assert desk.look_after(29).survived == {}
    assert desk.look_after(1).survived == {30: 1.0}
    desk.buffers[PATH] = "    return a - b\n"
    assert desk.look_after(90).survived == {30: 1.0, 120: pytest.approx(11 / 12)}
    del desk.buffers[PATH]  # the file is gone, and the text with it
    assert desk.look_after(180).survived == {30: 1.0, 120: pytest.approx(11 / 12), 300: 0.0}
    assert first != second


def test_a_full_disk_costs_the_history_and_no_suggestion(tmp_path):
    desk = Desk(tmp_path / "history.sqlite")
    desk.offer(0.4)
    said = []
    desk.history._progress.say = said.append
    desk.history._execute("PRAGMA max_page_count = 1")
    for _ in range(300):
        number = desk.offer(0.9)
    desk.history.accept(number, path=PATH, text="x")
    assert desk.history.outcomes()[0] == Outcome(0.9, True, {})
    (line,) = said
    assert "no longer recorded in" in line
    assert "full" in line
    desk.history.close()
    assert History(tmp_path / "history.sqlite", text_of={}.get).outcomes()[-1].confidence == 0.4


def test_what_nobody_has_read_or_was_asked_for_tells_nothing():
    desk = Desk()
    desk.offer(0.1, seen=0.1)
    desk.offer(0.2, invoked=True)
    quick = desk.offer(0.3, seen=0.1)
    desk.history.accept(quick, path=PATH, text="x")
    desk.offer(0.4, seen=0.6)
    assert [each.confidence for each in desk.history.outcomes()] == [0.4, 0.3]


def test_kept_is_what_was_taken_and_mostly_left():
    assert Outcome(0.5, True, {}).kept
    assert Outcome(0.5, True, {30: 0.2, 120: 0.9}).kept
    assert not Outcome(0.5, True, {30: 1.0, 300: 0.5}).kept
    assert not Outcome(0.5, False, {}).kept


def test_a_late_look_is_not_taken_for_an_early_one():
    desk = Desk()
    desk.history.accept(desk.offer(), path=PATH, text="x")
    desk.buffers[PATH] = "x"
    assert desk.look_after(400).survived == {300: 1.0}  # as after the machine slept
    assert desk.look_after(1000).survived == {300: 1.0}


def test_accepted_twice_counts_once():
    desk = Desk()
    number = desk.offer()
    desk.history.accept(number, path=PATH, text="x")
    desk.history.accept(number, path=PATH, text="other")
    desk.history.accept(number + 7, path=PATH, text="never offered")
    desk.buffers[PATH] = "x"
    assert desk.look_after(30).survived == {30: 1.0}


def test_it_outlives_the_process_and_holds_no_text(tmp_path):
    file = tmp_path / "new folder" / "history.sqlite"
    desk = Desk(file)
    desk.history.accept(desk.offer(), path=PATH, text="secret_token = 1")
    desk.buffers[PATH] = "secret_token = 1"
    desk.look_after(30)
    desk.history.close()
    assert Desk(file).history.outcomes()[0].survived == {30: 1.0}
    assert b"secret" not in b"".join(each.read_bytes() for each in file.parent.iterdir())
    columns = [row[1] for row in sqlite3.connect(file).execute("PRAGMA table_info(suggestions)")]
    assert columns == [
        "id", "time", "file", "language", "invoked", "confidence", "characters", "milliseconds", "seen", "accepted"
    ]  # fmt: skip


def test_many_threads():
    desk = Desk()
    threads = [threading.Thread(target=lambda: [desk.offer() for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(desk.history.outcomes()) == 200


def test_a_file_that_is_no_history(tmp_path):
    file = tmp_path / "history.sqlite"
    file.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(CacheError, match="expected a file that SQLite can read and write"):
        History(file, text_of=lambda _: None)

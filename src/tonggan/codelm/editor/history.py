"""What became of suggestions: offered, accepted, and how much of them is still there later. Kept on this machine only.

The text of a suggestion is kept no longer than its last look takes (five minutes); what stays are numbers. What
survives is measured as one minus the edit distance to the best match in the buffer, as since Ziegler et al. 2022,
"Productivity assessment of neural code completion", who call one that keeps at least two thirds of its characters
mostly unchanged.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tonggan.errors import CacheError
from tonggan.progress import Progress

_MOST_CELLS = 40_000_000  # of the table; about a tenth of a second
LOOKS = (30, 120, 300)
"""Seconds after an acceptance at which the buffer is looked at."""
MOSTLY_UNCHANGED = 2 / 3
_LEAST_SEEN = 0.5  # seconds; what the next key takes away sooner, nobody has read
_SCHEMA = """
CREATE TABLE IF NOT EXISTS suggestions (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    file TEXT NOT NULL,
    language TEXT NOT NULL,
    invoked INTEGER NOT NULL,
    confidence REAL NOT NULL,
    characters INTEGER NOT NULL,
    milliseconds REAL NOT NULL,
    seen REAL,
    accepted REAL
);
CREATE TABLE IF NOT EXISTS looks (
    suggestion INTEGER NOT NULL REFERENCES suggestions (id),
    seconds INTEGER NOT NULL,
    share REAL NOT NULL,
    PRIMARY KEY (suggestion, seconds)
);
"""


def surviving_share(text: str, buffer: str) -> float:
    """From 0 (nothing is left) to 1 (all of it is there as it was), whatever stands around it and between indents.

    The edit distance is that of Levenshtein to the part of ``buffer`` that is nearest to ``text`` (Sellers 1980).
    A buffer too long to be compared as a whole is compared line by line.
    """
    text, buffer = _normalized(text), _normalized(buffer)
    if not text or text in buffer:
        return 1.0
    if len(text) * len(buffer) > _MOST_CELLS:
        lines = set(buffer.split("\n"))
        kept = sum(len(line) for line in text.split("\n") if line in lines)
        return kept / max(1, len(text.replace("\n", "")))
    return max(0.0, 1 - _distance(_codes(text), _codes(buffer)) / len(text))


def _normalized(text: str) -> str:
    """Without what formatters change: line ends, blank lines, indents and spaces at the end."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _distance(text: npt.NDArray[np.uint32], buffer: npt.NDArray[np.uint32]) -> int:
    """Row by row; a match may begin and end anywhere in ``buffer``."""
    places = np.arange(len(buffer) + 1)
    row = np.zeros(len(buffer) + 1, dtype=np.int64)
    for number, code in enumerate(text, start=1):
        row = np.concatenate(([number], np.minimum(row[1:] + 1, row[:-1] + (buffer != code))))
        row = np.minimum.accumulate(row - places) + places  # insertions, from left to right
    return int(row.min())


@dataclass(frozen=True)
class Outcome:
    """What became of one suggestion.

    Attributes:
        confidence: of the model, from 0 to 1.
        accepted: whether the user took it.
        survived: share of its characters that were still there at each look so far, by seconds.
    """

    confidence: float
    accepted: bool
    survived: dict[int, float]

    @property
    def kept(self) -> bool:
        """Whether the user took it and it was mostly unchanged when it was last looked at."""
        return self.accepted and (not self.survived or self.survived[max(self.survived)] >= MOSTLY_UNCHANGED)


@dataclass(frozen=True)
class _Watched:
    suggestion: int
    path: Path
    text: str
    accepted: float


class History:
    """Suggestions and their fates in one SQLite file. Threads may use it at the same time.

    Args:
        file: where; ``":memory:"`` keeps nothing.
        text_of: the text of a file as the editor shows it, None where it is gone.
        clock: seconds since the epoch.
        progress: told where the file can be written no more: what follows is then kept in memory only.

    Raises:
        CacheError: the file cannot be used.
    """

    def __init__(
        self,
        file: Path | str,
        *,
        text_of: Callable[[Path], str | None],
        clock: Callable[[], float] = time.time,
        progress: Progress | None = None,
    ) -> None:
        self._file = file
        self._progress = progress or Progress()
        self._text_of = text_of
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: list[_Watched] = []
        try:
            if isinstance(file, Path):
                file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connected(file)
        except (OSError, sqlite3.Error) as error:
            raise CacheError(
                f"history of suggestions {file}",
                got=str(error),
                expected="a file that SQLite can read and write",
                remedy="Remove the file, or name another cache folder in TONGGAN_CACHE",
            ) from error

    def offer(
        self, path: Path, *, language: str, invoked: bool, confidence: float, characters: int, milliseconds: float
    ) -> int:
        """A suggestion reaches the editor; its number.

        Args:
            path: of the document; only a hash of it is kept.
            language: of the document.
            invoked: whether the user asked for it; otherwise it came by itself.
            confidence: of the model, from 0 to 1.
            characters: of its text.
            milliseconds: that it took.
        """
        file = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        row = (self._clock(), file, language, invoked, confidence, characters, milliseconds)
        with self._lock:
            cursor = self._execute(
                "INSERT INTO suggestions (time, file, language, invoked, confidence, characters, milliseconds)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        number = cursor.lastrowid
        assert number is not None
        return number

    def withdraw(self, suggestion: int) -> None:
        """The next key has come; a suggestion that it goes along with may be seen longer, and withdrawn again."""
        with self._lock:
            self._execute("UPDATE suggestions SET seen = ? - time WHERE id = ?", (self._clock(), suggestion))

    def accept(self, suggestion: int, *, path: Path, text: str) -> None:
        """The user took a suggestion; from now on its ``text`` is watched. To take it twice counts once."""
        now = self._clock()
        with self._lock:
            taken = self._execute(
                "UPDATE suggestions SET accepted = ? WHERE id = ? AND accepted IS NULL", (now, suggestion)
            )
            if taken.rowcount:
                self._watched.append(_Watched(suggestion, path, text, now))

    def look(self) -> None:
        """Look at the buffers of accepted suggestions whose time has come; call it every few seconds.

        A look that comes late, as after the machine slept, is not taken: the time would not be the one it is kept for.
        """
        now = self._clock()
        with self._lock:
            watched, self._watched = self._watched, []
        going = []
        for each in watched:
            done = self._done(each.suggestion)
            left = [seconds for seconds in LOOKS if seconds not in done and now < each.accepted + 2 * seconds]
            due = [seconds for seconds in left if now >= each.accepted + seconds]
            if due:
                text = self._text_of(each.path)
                share = 0.0 if text is None else surviving_share(each.text, text)
                with self._lock:
                    self._execute("INSERT OR IGNORE INTO looks VALUES (?, ?, ?)", (each.suggestion, max(due), share))
            if any(now < each.accepted + seconds for seconds in left):
                going.append(each)
        with self._lock:
            self._watched += going

    def outcomes(self, *, limit: int = 1000) -> list[Outcome]:
        """The last suggestions that came by themselves and were there long enough to be read, the newest first."""
        with self._lock:
            rows = self._execute(
                "SELECT id, confidence, accepted IS NOT NULL FROM suggestions"
                " WHERE NOT invoked AND (accepted IS NOT NULL OR seen >= ?) ORDER BY id DESC LIMIT ?",
                (_LEAST_SEEN, limit),
            ).fetchall()
            oldest = rows[-1][0] if rows else 0
            looks = self._execute("SELECT * FROM looks WHERE suggestion >= ?", (oldest,)).fetchall()
        survived: dict[int, dict[int, float]] = {}
        for suggestion, seconds, share in looks:
            survived.setdefault(suggestion, {})[seconds] = share
        return [Outcome(confidence, bool(accepted), survived.get(number, {})) for number, confidence, accepted in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _execute(self, statement: str, parameters: Sequence[float | str] = ()) -> sqlite3.Cursor:
        """The caller holds the lock. A full disk or a damaged file costs the history, never a suggestion."""
        try:
            return self._connection.execute(statement, parameters)
        except sqlite3.ProgrammingError:  # closed
            raise
        except sqlite3.DatabaseError as error:
            self._progress.say(f"Which suggestions were accepted is no longer recorded in {self._file}: {error}")
            self._connection.close()
            self._connection = _connected(":memory:")
            return self._connection.execute(statement, parameters)

    def _done(self, suggestion: int) -> set[int]:
        with self._lock:
            rows = self._execute("SELECT seconds FROM looks WHERE suggestion = ?", (suggestion,)).fetchall()
        return {seconds for (seconds,) in rows}


def _connected(file: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=5)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # a crash may cost the last rows, never the file
    connection.executescript(_SCHEMA)
    return connection

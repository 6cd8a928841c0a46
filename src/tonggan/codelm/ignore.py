r"""The patterns of one ``.gitignore``, matched in time that grows with the pattern times the path, whatever they are.

Each pattern becomes a regular expression whose stars never go back: what follows a star is taken where it first fits,
which is right because the next star can take the rest. The usual translation takes exponential time on ``*a*a*a*b``.
Bytes are compared, as git does it: each stands as one character here.
"""

from __future__ import annotations

import os
import re
import time
from itertools import groupby
from pathlib import Path

from tonggan.codelm.source_file import read_bytes

_MAX_BYTES = 100_000  # of one file
_MAX_PATTERNS = 2000
_MAX_PATTERN = 500  # characters
_MAX_SECONDS = 10.0  # that the patterns of one file may take in one walk
_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \\t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9", "graph": "!-~",
    "lower": "a-z",
    "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": r" \t-\r", "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip


class IgnoreFile:
    """What a ``.gitignore`` says of paths below its folder.

    Attributes:
        problems: what of it is left out, for a person; empty where nothing is.
    """

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._rules: list[tuple[re.Pattern[str], bool]] = []  # the last one that matches decides
        self._seconds = 0.0
        content = read_bytes(path, _MAX_BYTES)
        if not isinstance(content, bytes):
            self.problems.append(" ".join(content).strip())
            return
        patterns: list[tuple[bool, str]] = []
        for number, line in enumerate(content.decode("latin-1").split("\n"), start=1):
            if len(line) > _MAX_PATTERN:
                self.problems.append(f"the pattern in line {number} is longer than {_MAX_PATTERN} characters")
            elif len(patterns) == _MAX_PATTERNS:
                self.problems.append(f"its patterns after the first {_MAX_PATTERNS:,}")
                break
            elif (pattern := _translate(line.removesuffix("\r"))) is not None:
                patterns.append(pattern)
        for is_ignored, group in groupby(patterns, key=lambda pattern: pattern[0]):
            self._rules.append((re.compile("|".join(f"(?:{each})" for _, each in group), re.DOTALL), is_ignored))

    def verdict(self, name: str, *, is_folder: bool) -> bool | None:
        """Whether the file ignores a path relative to its folder; None where it says nothing of it."""
        if self._seconds > _MAX_SECONDS:
            return None
        start = time.perf_counter()
        path = os.fsencode(name).decode("latin-1") + ("//" if is_folder else "/")
        found = next((is_ignored for rule, is_ignored in reversed(self._rules) if rule.match(path)), None)
        self._seconds += time.perf_counter() - start
        if self._seconds > _MAX_SECONDS:
            self.problems.append(f"its patterns took more than {_MAX_SECONDS:g} s")
        return found


def _translate(line: str) -> tuple[bool, str] | None:
    """Whether a line ignores (or includes again), and an expression for paths that end with ``/``, folders ``//``.

    None for a line without a pattern, or with one that fits nothing.
    """
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    is_ignored = not line.startswith("!")
    line = line if is_ignored else line[1:]
    if not line.strip("/"):
        return None
    end = "/" if line.endswith("/") else "/?"
    segments = line.removesuffix("/").split("/")
    if len(segments) == 1:
        segments = ["**", segments[0] if segments[0].strip("*") else "*"]
    elif not segments[0]:
        del segments[0]
    groups = _groups(segments)
    if groups is None:
        return None
    parts = [groups[0]]
    parts += [f"(?>(?:[^/]+/)*?{group})" for group in groups[1:-1]]
    if len(groups) > 1:
        parts.append(f"(?:[^/]+/)*?{groups[-1]}" if groups[-1] else "(?:[^/]+/)+")
    return is_ignored, f"{''.join(parts)}{end}\\Z"


def _groups(segments: list[str]) -> list[str] | None:
    """The expressions of the segments between one ``**`` and the next; None where one fits nothing."""
    groups = [""]
    for number, segment in enumerate(segments):
        if len(segment) > 1 and not segment.strip("*"):
            if groups[-1] or number == 0:  # several in a row are one
                groups.append("")
            continue
        expression = _segment(segment)
        if expression is None:
            return None
        groups[-1] += expression
    return groups


def _segment(segment: str) -> str | None:
    """An expression for one name and the ``/`` after it; None where it fits nothing."""
    chunks = [""]
    place = 0
    while place < len(segment):
        character = segment[place]
        if character == "*":
            if chunks[-1] or len(chunks) == 1:
                chunks.append("")
            place += 1
            continue
        if character == "[":
            found = _class(segment, place)
            if found is None:
                return None
            chunks[-1] += found[0]
            place = found[1]
            continue
        if character == "\\":
            place += 1
            if place == len(segment):
                return None
        chunks[-1] += "[^/]" if character == "?" else re.escape(segment[place])
        place += 1
    if len(chunks) == 1:
        return f"{chunks[0]}/" if chunks[0] else None
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1])
    return f"(?!/){chunks[0]}{middle}(?>[^/]*{chunks[-1]}/)"


def _class(segment: str, start: int) -> tuple[str, int] | None:
    """The expression of ``[…]`` and where it ends; None where it has no end."""
    place = start + 1
    is_negated = segment[place : place + 1] in ("!", "^")
    place += is_negated
    first, items = place, ""
    while place < len(segment) and (segment[place] != "]" or place == first):
        named = re.compile(r"\[:(\w+):\]").match(segment, place)
        if named:
            items += _CLASSES.get(named[1], "")
            place = named.end()
            continue
        low, place = _character(segment, place)
        high = low
        if segment[place : place + 1] == "-" and segment[place + 1 : place + 2] not in ("", "]"):
            high, place = _character(segment, place + 1)
        if low <= high:
            items += f"{re.escape(low)}-{re.escape(high)}"
    if place >= len(segment):
        return None
    if is_negated:
        return f"[^/{items}]", place + 1
    return f"(?!/)[{items}]" if items else "(?!)", place + 1


def _character(segment: str, place: int) -> tuple[str, int]:
    if segment[place] == "\\" and place + 1 < len(segment):
        place += 1
    return segment[place], place + 1

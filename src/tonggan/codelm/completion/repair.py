"""Mends what a model wrote: what the document already has, repeated lines, indentation, brackets, control tokens.

It never adds code of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"
_SENTINEL = re.compile(
    r"<\|?(?:fim_\w+|endoftext|end_of_text|im_start|im_end|file_sep|filename|reponame|repo_name)\|?>"
)
_MAX_REPEATED = 2  # lines in a row that may be alike


@dataclass(frozen=True)
class Repaired:
    """A candidate that fits its place.

    Attributes:
        text: what is left of it; empty where it would add nothing.
        eaten: how many characters after the cursor it replaces.
        notes: what was done, for a person.
    """

    text: str
    eaten: int = 0
    notes: tuple[str, ...] = ()


def repair(text: str, *, before: str, after: str) -> Repaired:
    r"""``text`` so that it fits between ``before`` and ``after``, all with ``\\n`` at their line ends."""
    notes: list[str] = []

    def changed(new: str, note: str) -> str:
        if new != text:
            notes.append(note)
        return new

    text = changed(_without_sentinels(text, before + after), "cut at a control token")
    text = changed(_indent_like(text, before + after), "indentation as in the file")
    text = changed(_without_repetition(text, before), "repeated lines left out")
    text = changed(_without_following(text, before, after), "lines that follow anyway left out")
    text = changed(_without_doubled_opening(text, before), "doubled bracket left out")
    text = changed(_without_surplus(text, before), "closing bracket that nothing opened left out")
    eaten = 0
    rest = after.partition("\n")[0]
    if "\n" not in text and rest.strip():
        joined, eaten = _join(text, before, rest)
        text = changed(joined, "end that follows anyway left out")
    return Repaired(text.rstrip() if text.strip() and not rest.strip() else text, eaten, tuple(notes))


def _without_sentinels(text: str, document: str) -> str:
    found = _SENTINEL.search(text)
    # A document that speaks of such a name itself may go on to do so.
    return text[: found.start()] if found and found[0] not in document else text


def _indent_like(text: str, document: str) -> str:
    """Tabs where the document indents by tabs, spaces where it does by spaces."""
    if "\n" not in text:
        return text
    tabs, spaces = document.count("\n\t"), document.count("\n  ")
    if tabs > spaces:
        return re.sub(r"(?<=\n)(?: {4})+", lambda found: "\t" * (len(found[0]) // 4), text)
    if spaces > tabs:
        return re.sub(r"(?<=\n)\t+", lambda found: "    " * len(found[0]), text)
    return text


def _without_repetition(text: str, before: str) -> str:
    """Up to where lines begin to repeat those before them."""
    lines = text.split("\n")
    start = before.rpartition("\n")[2]
    earlier = [line.strip() for line in before.split("\n")[-1 - _MAX_REPEATED : -1]]
    whole = [*earlier, (start + lines[0]).strip(), *(line.strip() for line in lines[1:])]
    for number in range(len(lines)):
        place = number + len(earlier)
        run = whole[max(0, place - _MAX_REPEATED) : place + 1]
        if whole[place].strip(")]},") and len(run) > _MAX_REPEATED and len(set(run)) == 1:
            return "\n".join(lines[:number]).rstrip() if number else ""
    return text


def _without_following(text: str, before: str, after: str) -> str:
    """Without the last lines that the document has next."""
    rest, _, below = after.partition("\n")
    following = [line.strip() for line in below.split("\n") if line.strip()][:8]
    if rest.strip() or not following:
        return text
    lines = text.split("\n")
    start = before.rpartition("\n")[2]
    whole = [(start + lines[0]).strip(), *(line.strip() for line in lines[1:])]
    for number, line in enumerate(whole):
        same = line and line == following[0] and whole[number:] == following[: len(whole) - number]
        if same and (len(line) > 2 or len(whole) > 1):
            return "\n".join(lines[:number]).rstrip() if number else ""
    return text


def _without_doubled_opening(text: str, before: str) -> str:
    last = before[-1:]
    doubled = last and last in "([{" and text.startswith(last) and _depth(text.partition("\n")[0]) > 0
    return text[1:] if doubled else text


def _without_surplus(text: str, before: str) -> str:
    """Up to the first closing bracket that nothing opened, in the text or in the lines before it."""
    stack = _open_brackets(before[-4000:])
    for place, character, is_code in _code_of(text):
        if not is_code:
            continue
        if character in "([{":
            stack.append(character)
        elif character in _PAIRS:
            if not stack:
                return text[:place].rstrip()
            if stack[-1] != _PAIRS[character]:
                return text[:place].rstrip() if _PAIRS[character] not in stack else text
            stack.pop()
    return text


def _join(text: str, before: str, rest: str) -> tuple[str, int]:
    """``text`` before ``rest`` of the same line: what both have is written once."""
    tail = rest.rstrip()
    for length in range(min(len(text), len(tail)), 0, -1):
        overlap = tail[:length]
        if text.endswith(overlap) and (length > 1 or not overlap.isalnum()):
            return text[: len(text) - length], 0
    closers = re.match(r"[)\]}\"'`]+", tail)
    if closers and closers[0] == tail:
        # The editor closed what the suggestion closes itself, before it goes on.
        surplus = _depth(text) < 0 or (tail[0] in _QUOTES and text.count(tail[0]) % 2 == 1)
        return text, len(tail) if surplus and len(_open_brackets(before.rpartition("\n")[2] + text)) == 0 else 0
    return text, 0


def _depth(text: str) -> int:
    return sum((character in "([{") - (character in ")]}") for _, character, is_code in _code_of(text) if is_code)


def _open_brackets(text: str) -> list[str]:
    """Brackets that ``text`` opens and does not close."""
    stack: list[str] = []
    for _, character, is_code in _code_of(text):
        if not is_code:
            continue
        if character in "([{":
            stack.append(character)
        elif character in _PAIRS and stack and stack[-1] == _PAIRS[character]:
            stack.pop()
    return stack


def _code_of(text: str) -> list[tuple[int, str, bool]]:
    """Each character with its place, and whether it stands outside of strings that end on their line."""
    masked = re.sub(r"\"[^\"\n\\]*(?:\\.[^\"\n\\]*)*\"|'[^'\n\\]*(?:\\.[^'\n\\]*)*'", lambda m: " " * len(m[0]), text)
    return [(place, text[place], masked[place] == text[place]) for place in range(len(text))]

"""What a docstring tells of parameters, results and exceptions, in Google's, NumPy's and Sphinx's style, with places.

It is read from the source lines, so that what is told has a line and a column there. What is not understood is left
out, and ``Docstring.is_whole`` says so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Part = Literal["parameters", "attributes", "returns", "yields", "raises"]

_NAMES: dict[str, Part] = {
    "args": "parameters", "arguments": "parameters", "parameters": "parameters", "params": "parameters",
    "parameter": "parameters", "keyword args": "parameters", "keyword arguments": "parameters",
    "kwargs": "parameters", "other parameters": "parameters", "attributes": "attributes", "attribute": "attributes",
    "returns": "returns", "return": "returns", "yields": "yields", "yield": "yields", "raises": "raises",
    "raise": "raises",
}  # fmt: skip
_FIELDS: dict[str, Part] = {
    "param": "parameters", "parameter": "parameters", "arg": "parameters", "argument": "parameters",
    "key": "parameters", "keyword": "parameters", "kwarg": "parameters", "raises": "raises", "raise": "raises",
    "except": "raises", "exception": "raises", "return": "returns", "returns": "returns", "rtype": "returns",
    "yield": "yields", "yields": "yields", "ytype": "yields", "ivar": "attributes", "cvar": "attributes",
    "var": "attributes",
}  # fmt: skip
_GOOGLE = re.compile(rf"({'|'.join(_NAMES)})\s*:{{1,2}}", re.IGNORECASE)
_UNDERLINE = re.compile(r"\s*[-=]{3,}\s*")
_FIELD = re.compile(rf"\s*[:@]({'|'.join([*_FIELDS, 'type'])})\b([^:]*):(?:\s+|$)")
_ANY_FIELD = re.compile(r"\s*[:@]\w+[^:`]*:(\s|$)")
_NAME = r"[`*\\]*[A-Za-z_](?:\w|\\_)*`*"
_ITEM_NAMES = re.compile(rf"{_NAME}(?:\s*,\s*{_NAME})*")
_EXCEPTIONS = re.compile(
    r"(?:- )?[\[\]`~:\w.!]+(?:\s*(?:,|\bor\b|/|\|)\s*[\[\]`~:\w.!]+)*?(?=\s*:(?:\s|$)|\s*$|\s+(?:if|when|--?)\s)"
)
_OPENING = re.compile(r"[rRuU]?(\"\"\"|'''|\"|')")


@dataclass(frozen=True)
class Entry:
    """One thing that a docstring tells of.

    Attributes:
        name: without stars; of a result it may be empty.
        stars: before the name.
        type: as it is written; may be empty.
        text: all else that is said of it, on one line.
        line: from 1, of the name.
        column: from 1, in characters.
        shares: whether other names stand beside this one on the line.
    """

    name: str
    stars: int
    type: str
    text: str
    line: int
    column: int
    shares: bool = False


@dataclass
class Docstring:
    """A docstring, read.

    Attributes:
        lines: each line's number and its source, with the quotes blanked out.
        parts: what is told of each part, in its order.
        unclear: parts in which a line was not understood.
        styles: google, numpy or sphinx, as found.
    """

    lines: list[tuple[int, str]]
    parts: dict[Part, list[Entry]] = field(default_factory=dict)
    unclear: set[Part] = field(default_factory=set)
    styles: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(line for _, line in self.lines)

    def told(self, part: Part) -> list[Entry]:
        """What is told of ``part``."""
        return self.parts.get(part, [])

    def is_whole(self, part: Part) -> bool:
        """Whether all lines of a part were understood."""
        return part not in self.unclear


def docstring_node(node: ast.AsyncFunctionDef | ast.FunctionDef | ast.ClassDef | ast.Module) -> ast.Constant | None:
    """The string that is the docstring of ``node``."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.value
    return None


def read_docstring(constant: ast.Constant, lines: list[str]) -> Docstring | None:
    """The docstring at ``constant`` in the ``lines`` of its file; None where it is no single plain literal."""
    start, end = constant.lineno, constant.end_lineno or constant.lineno
    first = lines[start - 1]
    column = len(first.encode()[: constant.col_offset].decode("utf-8", "ignore"))
    opening = _OPENING.match(first, column)
    if opening is None:
        return None
    found = [(number, lines[number - 1]) for number in range(start, end + 1)]
    last = len(lines[end - 1].encode()[: constant.end_col_offset or 0].decode("utf-8", "ignore"))
    found[-1] = (end, found[-1][1][: last - len(opening[1])])
    number, text = found[0]
    found[0] = (number, " " * opening.end() + text[opening.end() :])
    if end == start and opening[1] in found[0][1]:
        return None  # several literals side by side
    docstring = Docstring(found)
    _Reader(docstring).read()
    return docstring


class _Reader:
    """Fills the parts of one docstring."""

    def __init__(self, docstring: Docstring) -> None:
        self._docstring = docstring
        self._lines = docstring.lines
        indents = [_indent(text) for _, text in self._lines[1:] if text.strip()]
        self._base = min(indents, default=0)

    def read(self) -> None:
        place = 0
        while place < len(self._lines):
            text = self._lines[place][1]
            under = self._lines[place + 1][1] if place + 1 < len(self._lines) else ""
            word = text.strip().lower()
            google = _GOOGLE.fullmatch(text.strip())
            told = _FIELD.match(text)
            if word in _NAMES and _UNDERLINE.fullmatch(under):
                place = self._numpy(_NAMES[word], place)
            elif google:
                place = self._google(_NAMES[google[1].lower()], place)
            elif told:
                place = self._field(place, told)
            else:
                place += 1

    def _indent_at(self, place: int) -> int:
        return self._base if place == 0 else _indent(self._lines[place][1])

    def _numpy(self, part: Part, place: int) -> int:
        self._docstring.styles.add("numpy")
        self._docstring.parts.setdefault(part, [])
        indent = self._indent_at(place)
        start = end = place + 2
        while end < len(self._lines):
            text = self._lines[end][1]
            under = self._lines[end + 1][1] if end + 1 < len(self._lines) else ""
            if text.strip() and (_indent(text) < indent or _UNDERLINE.fullmatch(under)):
                break
            end += 1
        self._items(part, start, end, is_numpy=True)
        return end

    def _google(self, part: Part, place: int) -> int:
        indent = self._indent_at(place)
        end = place + 1
        while end < len(self._lines) and (not self._lines[end][1].strip() or _indent(self._lines[end][1]) > indent):
            end += 1
        if any(text.strip() for _, text in self._lines[place + 1 : end]):
            self._docstring.styles.add("google")
            self._docstring.parts.setdefault(part, [])
            self._items(part, place + 1, end, is_numpy=False)
        elif part == "parameters":
            self._docstring.unclear.add(part)
        return end

    def _items(self, part: Part, start: int, end: int, *, is_numpy: bool) -> None:
        """The entries of a section, whose beginnings stand at its first line's indent."""
        starts = [place for place in range(start, end) if self._lines[place][1].strip()]
        if not starts:
            return
        indent = _indent(self._lines[starts[0]][1])
        if part in ("returns", "yields"):
            self._result(part, starts[0], end, is_numpy=is_numpy)
            return
        starts = [place for place in starts if _indent(self._lines[place][1]) <= indent]
        for place, following in zip(starts, [*starts[1:], end], strict=True):
            entries = list(self._item(part, place, following, is_numpy=is_numpy))
            if not entries:
                self._docstring.unclear.add(part)
            self._docstring.parts[part] += entries

    def _item(self, part: Part, place: int, end: int, *, is_numpy: bool) -> Iterator[Entry]:
        number, text = self._lines[place]
        indent = _indent(text)
        rest = [line.strip() for _, line in self._lines[place + 1 : end]]
        if part == "raises":
            found = _EXCEPTIONS.match(text, indent)
            if found:
                yield from _exceptions(found[0], " ".join([text[found.end() :], *rest]), number, indent)
            return
        names = _ITEM_NAMES.match(text, indent)
        if names is None:
            return
        after = " ".join([text[names.end() :], *rest])
        if is_numpy:
            head = re.match(r"\s*(?::(?P<type>.*))?$", text[names.end() :])
            if head is None:
                return
            told = (head["type"] or "").strip(), " ".join(rest).strip()
        else:
            read = _google_item(after)
            if read is None:
                return
            told = read
        for name in re.finditer(r"(?:\w|\\_)+", names[0]):
            before = names[0][: name.start()].rpartition(",")[2]
            yield Entry(
                name[0].replace("\\_", "_"),
                before.count("*"),
                *told,
                number,
                indent + name.start() + 1,
                shares="," in names[0],
            )

    def _result(self, part: Part, place: int, end: int, *, is_numpy: bool) -> None:
        number, text = self._lines[place]
        rest = " ".join(line.strip() for _, line in self._lines[place + 1 : end]).strip()
        line = text.strip()
        named = re.match(r"(?P<type>[^:]{1,80}):(?:\s|$)(?P<text>.*)", line)
        if is_numpy:
            named = re.match(r"(?:[\w, *]+\s:\s*)?(?P<type>.*)(?P<text>)", line)
        told = (named["type"].strip(), f"{named['text']} {rest}".strip()) if named else ("", f"{line} {rest}".strip())
        self._docstring.parts[part].append(Entry("", 0, *told, number, _indent(text) + 1))

    def _field(self, place: int, told: re.Match[str]) -> int:
        """A field of Sphinx (``:param int x: …``) or Epydoc (``@param x: …``)."""
        number, text = self._lines[place]
        indent = _indent(text)
        end = place + 1
        while end < len(self._lines):
            line = self._lines[end][1]
            if not line.strip() or _ANY_FIELD.match(line) or _indent(line) < indent:
                break
            end += 1
        said = " ".join([text[told.end() :], *(line.strip() for _, line in self._lines[place + 1 : end])]).strip()
        self._docstring.styles.add("sphinx")
        kind, argument = told[1], told[2].strip()
        if kind == "type":
            parameters = self._docstring.told("parameters")
            for index, entry in enumerate(parameters):
                if entry.name == argument.lstrip("*\\") and not entry.type:
                    parameters[index] = Entry(entry.name, entry.stars, said, entry.text, entry.line, entry.column)
            return end
        part = _FIELDS[kind]
        entries = self._docstring.parts.setdefault(part, [])
        if part in ("returns", "yields"):
            is_type = kind in ("rtype", "ytype")
            entries.append(Entry("", 0, said if is_type else "", "" if is_type else said, number, indent + 1))
        elif part == "raises":
            entries += _exceptions(argument, said, number, told.start(2) + len(told[2]) - len(told[2].lstrip()))
        elif name := re.search(r"((?:\w|\\_)+)(?:\s*=.*)?$", argument):  # some write the default behind it
            column = told.start(2) + len(told[2]) - len(told[2].lstrip()) + name.start() + 1
            kind_of = argument[: name.start()]
            stars = kind_of.count("*")
            entries.append(Entry(name[1].replace("\\_", "_"), stars, kind_of.rstrip("*\\ "), said, number, column))
        else:
            self._docstring.unclear.add(part)
        return end


def _google_item(after: str) -> tuple[str, str] | None:
    """Type and text of what stands after the names of an item; None where it is no item."""
    rest = after.lstrip()
    kind = ""
    if rest.startswith("("):
        depth = 0
        for place, character in enumerate(rest):
            depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                kind, rest = rest[1:place].strip(), rest[place + 1 :].lstrip()
                break
        else:
            return None
    found = re.match(r"(?::(?:\s|$)|--?\s)\s*(.*)", rest)
    return (kind, found[1].strip()) if found else None


def _exceptions(names: str, text: str, line: int, offset: int) -> Iterator[Entry]:
    plain = re.sub(r":\w+(?::\w+)?:|[`~!\[\]-]", lambda found: " " * len(found[0]), names)
    for name in re.finditer(r"[A-Za-z_][\w.]*", plain):
        if name[0] != "or":
            yield Entry(name[0], 0, "", text.strip(" :"), line, offset + name.start() + 1, shares=" " in plain.strip())


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())

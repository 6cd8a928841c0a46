"""What stands around a function: how often the rest of its file writes the same, and what called functions take.

A wrong name is often one that the other places of its file do not have beside the same neighbors (Hindle et al.,
On the Naturalness of Software, 2012; Tu et al., On the Localness of Software, 2014).
"""

from __future__ import annotations

import ast
import keyword
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.review.learned.data_flow import Parameters
from tonggan.codelm.review.learned.tokens import lex, lines_of

Numbers = NDArray[np.uint32]
_MOST_ATTRIBUTES = 6  # of one name that are not in the function, those written most first
_SELF = ("self", "cls")
_FACTOR = np.uint32(0x9E3779B1)


class FileAround:
    """The text of a file as its functions see it; it is read when it is first asked for.

    Args:
        text: of the file.
        classes: first and last line of each class, from 1.
        parameters: of the functions that may be called in it.
    """

    def __init__(
        self, text: str, classes: Sequence[tuple[int, int]] = (), parameters: Parameters | None = None
    ) -> None:
        self._text, self._classes = text, classes
        self.parameters: Parameters = {} if parameters is None else parameters

    @cached_property
    def _tokens(self) -> tuple[Numbers, NDArray[np.int64], list[tuple[int, str, str]]]:
        """The number and the line of each token, and the attributes of plain names with their lines."""
        try:
            tokens = lex(self._text)
        except (SyntaxError, ValueError):
            tokens = []
        texts = [token.text for token in tokens]
        lines = 1 + np.searchsorted(_line_ends(self._text), np.array([token.start for token in tokens], np.int64))
        found = [
            (int(lines[place]), texts[place - 1], texts[place + 1])
            for place in range(1, len(texts) - 1)
            if texts[place] == "." and texts[place - 1].isidentifier() and (place < 2 or texts[place - 2] != ".")
            and not keyword.iskeyword(texts[place - 1]) and texts[place + 1].isidentifier()
        ]  # fmt: skip
        return numbers_of(texts), lines, found

    @cached_property
    def phrases(self) -> Numbers:
        """The numbers of all two and three tokens that follow one another, sorted."""
        return phrases_of(self._tokens[0])

    def phrases_within(self, first: int, last: int) -> Numbers:
        """Those of the lines from ``first`` to ``last``."""
        numbers, lines, _ = self._tokens
        start, end = np.searchsorted(lines, [first, last + 1])
        return phrases_of(numbers[start:end])

    def attributes_outside(self, first: int, last: int) -> dict[str, tuple[str, ...]]:
        """Of each name that has attributes in these lines, those that it has elsewhere: ``self`` in the same class."""
        inside = [each for each in self._classes if each[0] <= first and last <= each[1]]
        owner = max(inside, default=(0, 0))
        wanted = {name for line, name, _ in self._tokens[2] if first <= line <= last}
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for line, name, attribute in self._tokens[2]:
            is_near = owner[0] <= line <= owner[1] if name in _SELF else True
            if name in wanted and is_near and not first <= line <= last:
                counts[name][attribute] += 1
        return {
            name: tuple(sorted(found, key=lambda each: (-found[each], each))[:_MOST_ATTRIBUTES])
            for name, found in counts.items()
        }


class Surroundings:
    """The file around one function, without it.

    Args:
        file: that it stands in.
        first: its first line.
        last: its last line.
    """

    def __init__(self, file: FileAround, first: int, last: int) -> None:
        self._file, self._lines = file, (first, last)

    @property
    def parameters(self) -> Parameters:
        """Of the functions that it may call."""
        return self._file.parameters

    @cached_property
    def attributes(self) -> Mapping[str, tuple[str, ...]]:
        """Of its names, those that they have elsewhere in the file, most frequent first."""
        return self._file.attributes_outside(*self._lines)

    @cached_property
    def _own(self) -> Numbers:
        return self._file.phrases_within(*self._lines)

    def counts(self, phrases: Numbers) -> NDArray[np.int64]:
        """How often each of ``phrases`` stands elsewhere in the file, in their shape."""
        return _times(self._file.phrases, phrases) - _times(self._own, phrases)


ALONE = Surroundings(FileAround(""), 1, 1)
"""That of a function of which nothing else is known."""


def _times(among: Numbers, phrases: Numbers) -> NDArray[np.int64]:
    times: NDArray[np.int64] = np.searchsorted(among, phrases, "right") - np.searchsorted(among, phrases, "left")
    return times


def numbers_of(texts: Iterable[str]) -> Numbers:
    """The number of each token."""
    return np.array([_number(text) for text in texts], np.uint32)


@lru_cache(maxsize=1 << 18)
def _number(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace"))


def joined(parts: Numbers) -> Numbers:
    """The number of the phrase that the last dimension's tokens make."""
    whole = parts[..., 0]
    for place in range(1, parts.shape[-1]):
        whole = (whole ^ (whole >> np.uint32(15))) * _FACTOR + parts[..., place]
    return whole


def phrases_of(numbers: Numbers) -> Numbers:
    """The numbers of all phrases of two and three tokens, sorted."""
    found = [joined(np.lib.stride_tricks.sliding_window_view(numbers, size)) for size in (2, 3) if len(numbers) >= size]
    return np.sort(np.concatenate([np.zeros(0, np.uint32), *found]))


def parameters_of(tree: ast.Module, known: dict[str, tuple[str, ...] | None]) -> None:
    """Add the functions of a module, and its classes by what they are made from, to ``known``."""
    for node in _definitions(tree.body):
        owner = node if isinstance(node, ast.ClassDef) else None
        for each in owner.body if owner else [node]:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                names = tuple(argument.arg for argument in (*each.args.posonlyargs, *each.args.args))
                names = names[1:] if owner and names[:1] in (("self",), ("cls",)) else names
                name = owner.name if owner and each.name == "__init__" else each.name
                known[name] = names if known.get(name, names) == names else None


def _definitions(body: Sequence[ast.stmt]) -> Iterable[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _definitions(node.body)
        elif isinstance(node, ast.ClassDef):
            yield node
            yield from (each for each in node.body if isinstance(each, ast.ClassDef))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _line_ends(text: str) -> NDArray[np.int64]:
    """Offsets behind which each next line begins."""
    lengths = [len(line) for line in lines_of(text)]
    return np.cumsum(np.array(lengths, np.int64)) - 1

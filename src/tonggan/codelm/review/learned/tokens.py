"""The tokens of Python text, and the words that each is read as."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache

_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_NAMED = {tokenize.NEWLINE: "<newline>", tokenize.INDENT: "<indent>", tokenize.DEDENT: "<dedent>"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+|[^\w\s]+")
_MOST_WORDS = 5  # of one token that are read


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a function.

    Attributes:
        text: as it is written; of line ends and indentation a name in angle brackets.
        start: offset in the function's text.
        end: offset behind it.
    """

    text: str
    start: int
    end: int

    @property
    def is_name(self) -> bool:
        """Whether it names something."""
        return _is_name(self.text)

    @property
    def words(self) -> tuple[str, ...]:
        """What it is read as."""
        return words_of(self.text)


@lru_cache(maxsize=1 << 18)
def words_of(text: str) -> tuple[str, ...]:
    """What a token is read as: parts of a name, in lower case; anything else as it is, a text by its first words."""
    if text[-1] in "'\"":
        return ("<text>", *(word.lower() for word in _WORD.findall(text)[: _MOST_WORDS - 1]))
    if not _is_name(text):
        return (text[:20],)
    return tuple(word.lower() for word in _WORD.findall(text)[:_MOST_WORDS]) or (text[:20],)


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def lines_of(text: str) -> list[str]:
    """The lines of a text as Python counts them, with their ends."""
    return list(io.StringIO(text))


def lex(text: str) -> list[Token]:
    """The tokens of Python text in their order; comments are none.

    Raises:
        SyntaxError: the text cannot be cut into tokens.
    """
    starts, offset = [], 0
    for line in lines_of(text):
        starts.append(offset)
        offset += len(line)
    starts.append(offset)
    tokens = []
    try:
        for kind, string, start, end, _ in tokenize.generate_tokens(io.StringIO(text).readline):
            if kind not in _SKIPPED:
                first, last = starts[start[0] - 1] + start[1], starts[end[0] - 1] + end[1]
                tokens.append(Token(_NAMED.get(kind, string), first, last))
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error
    return tokens

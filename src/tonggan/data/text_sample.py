"""What a sample of text values looks like: codes, tags, sentences, and in which language.

It describes and decides nothing; ``kinds.py`` makes a kind of it.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tonggan.data.languages import languages_of
from tonggan.modalities.multilabel import written_list
from tonggan.modalities.number import parse_cell

_CODE = re.compile(r"[\w#:./-]*[\d_][\w#:./-]*", re.ASCII)
_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿]")
_MAX_TEXTS = 1_000  # enough to tell a language
_SEPARATORS = ("|", ";", ",", "、", "；", "，", "/", "+", "\n")
_SURE = frozenset("|;；、")  # no number holds one
# Most values must look alike before a column is taken for something; a few typing errors do not change what it is.
MOST = 0.95
_MAX_PROGRAMS = 50  # enough to tell code from texts
_PYTHON = 0.8  # some programs are broken


@dataclass(frozen=True)
class TextSample:
    """A sample of the values of a column that are not blank.

    Args:
        values: the sample, stripped of blanks around, not empty.
    """

    values: Sequence[str]

    @cached_property
    def num_distinct(self) -> int:
        """How many different values there are."""
        return len(set(self.values))

    @property
    def is_unique(self) -> bool:
        """Whether no value, or hardly any, occurs twice."""
        return self.num_distinct >= 0.99 * len(self.values)

    @cached_property
    def is_code(self) -> bool:
        """Whether most values are single words with digits or underscores in them, such as ``A-1042``."""
        return self._share(_CODE) >= MOST

    @cached_property
    def is_python(self) -> bool:
        """Whether most values are Python programs of several lines, or begin as such where they were cut.

        A word, a number or a formula is a program too, which says nothing: a line must define, import, assign or call.
        """
        some = self.values[:_MAX_PROGRAMS]
        several = [value for value in some if "\n" in value]
        return len(several) >= _PYTHON * len(some) and sum(map(_is_program, several)) >= _PYTHON * len(some)

    @cached_property
    def mean_words(self) -> float:
        """Words in a value on average; two Chinese characters count as a word."""
        return sum(map(_num_words, self.values)) / len(self.values)

    @cached_property
    def tag_separator(self) -> str | None:
        """The separator if values are several of the same few short labels each, such as ``red|round``."""
        return next((separator for separator in _SEPARATORS if self._are_tags(separator)), None)

    @cached_property
    def are_lists(self) -> bool:
        """Whether most values are lists as JSON or Python writes them, such as ``["red", "round"]``."""
        num_lists = sum(written_list(value) is not None for value in self.values)
        return num_lists >= MOST * len(self.values)

    @cached_property
    def language(self) -> str:
        """In words; see ``languages_of``."""
        return languages_of(self.values[:_MAX_TEXTS])

    def _share(self, pattern: re.Pattern[str]) -> float:
        return sum(1 for value in self.values if pattern.fullmatch(value)) / len(self.values)

    def _are_tags(self, separator: str) -> bool:
        # A separator alone is a row without any tag, and one may close a row.
        values = [value.removesuffix(separator) for value in self.values if value != separator]
        split = [[part.strip() for part in value.split(separator)] for value in values]
        several = [parts for parts in split if len(parts) > 1]
        if len(several) < 0.2 * len(split):
            return False
        tags = [tag for parts in split for tag in parts]
        if any(not tag or len(tag) > 40 or _num_words(tag) > 3.5 for tag in tags):
            return False
        combined = separator == "|" or _are_combined(split)
        repeats = 2 * len(set(tags)) <= len(tags) and len(set(tags)) < self.num_distinct * 2
        own = sum(len(set(parts)) == len(parts) for parts in several)
        are_numbers = separator not in _SURE and all(map(parse_cell, tags))
        return combined and repeats and own >= MOST * len(several) and not are_numbers


def _is_program(text: str) -> bool:
    """Whether lines from the first on, most of them at least, are a Python program that does something."""
    lines = textwrap.dedent(text).split("\n")
    for end in range(len(lines), len(lines) // 2, -1):
        try:
            # What a program warns of, such as an unknown escape, is no matter of the table.
            with warnings.catch_warnings(action="ignore"):
                body = ast.parse("\n".join(lines[:end])).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return any(not isinstance(each, ast.Expr) or isinstance(each.value, ast.Call) for each in body)
    return False


def _are_combined(values: Sequence[Sequence[str]]) -> bool:
    """Whether most labels stand now here and now there in different values, as tags do.

    The parts of a name with a comma ("Clothing, Shoes & Jewelry") always keep the same company, and those of a place or
    a path ("Paris, TX", "Shoes, Men") their position.
    """
    places: defaultdict[str, set[int]] = defaultdict(set)
    for parts in values:
        for place, part in enumerate(parts):
            places[part].add(place)
    num_moving = sum(1 for parts in values for part in parts if len(places[part]) > 1)
    return 2 * num_moving >= sum(map(len, values))


def _num_words(value: str) -> float:
    num_han = len(_HAN.findall(value))
    return len(_HAN.sub(" ", value).split()) + num_han / 2

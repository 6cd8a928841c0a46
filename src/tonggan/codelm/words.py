"""The words of code and of questions about it: identifiers taken apart, stemmed, and kept whole beside.

``readJSONFile`` gives read, json, file and readjsonfile. Chinese is cut into words where it stands in comments, strings
and questions. Nothing here is learned from the code that is read; the abbreviations are those that programmers share.
Words of prose keep stop words (BM25 weighs them down), and no accents are folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from tonggan.errors import MissingExtraError
from tonggan.retrieval.word_index import load_tantivy

_RUN = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MAX_IDENTIFIER = 80  # longer ones are data

# Words of questions that say nothing of the code that is sought.
_EMPTY = """
    a an and are as at be by can code do does for from function get given how i if in into is it its me method my
    of on or our should that the then there this to use used using want was way we what when where which who why
    will with you your
"""
# How a word of a question is written in code.
_WRITTEN = """
    absolute abs | argument arg param | array arr list | average mean | boolean bool | calculate compute
    | character char | check is has | combine merge join concat | compare cmp eq | concatenate concat join
    | configuration config cfg | connection conn connect | convert cast | count num | create make new
    | current cur | database db | dataframe df pandas | delete remove del | dictionary dict | directory dir folder
    | display show print | distinct unique | duplicate unique | environment env | error exception | execute exec run
    | exist exists | folder dir | function func fn | image img | index idx | initialize init | integer int
    | key dict | length len size | load read | lowercase lower | matrix mat | maximum max | mean average | merge join
    | message msg | minimum min | number num count | numpy np | object obj | parameter param arg | password passwd
    | plot figure | previous prev | print show | random rand | read load | regex re pattern | remove delete strip
    | request http url | save write dump | sorted sort order | string str text | temporary tmp temp | text str
    | timestamp time | total sum | uppercase upper | validate check | value val | variable var | vector vec
    | whitespace space strip | write save dump
"""
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_RUNS = re.compile(rf"([{_HAN}]+)|([^\W_{_HAN}]+(?:'[^\W_{_HAN}]+)*)")


def code_words(text: str) -> list[str]:
    """The words of code or of prose, in order, as the index of words takes them.

    Raises:
        MissingExtraError: tantivy, or jieba for Chinese text, is not installed.
    """
    return list(_words(text))


def question_words(text: str) -> list[str]:
    """The words of a question without those that say nothing; all of them where none would be left."""
    return code_words(_without_empty(text)) or code_words(text)


def written_as(words: list[str]) -> list[str]:
    """How else programmers write ``words``: dict for dictionary, idx for index. Those given are not among them."""
    known = _written()
    return list(dict.fromkeys(other for word in words for other in known.get(word, ()) if other not in words))


def split_identifier(name: str) -> list[str]:
    """The parts of an identifier, lower case: ``parseHTTPDate2`` gives parse, http, date, 2."""
    return [part.lower() for part in _PART.findall(name)]


def symbol_of(name: str) -> str:
    """What spellings of one name have in common: ``parse_date``, ``parseDate`` and ``ParseDate`` are parsedate."""
    return "".join(split_identifier(name)) or name.lower()


def symbols_in(question: str, *, longest: int = 5) -> list[str]:
    """The symbols that a question may name: each run of its words joined, the longest first.

    ``parse the date`` names parsethedate and parsedate too: words that say nothing are tried with and without. One
    word names a symbol only where it is all that was asked: too many functions are called ``check`` or ``file``.
    """
    found: set[str] = set()
    for said in (question, _without_empty(question)):
        parts = [part for run in _RUN.findall(said) for part in split_identifier(run)]
        for length in range(max(1, min(2, len(parts))), longest + 1):
            found.update("".join(parts[start : start + length]) for start in range(len(parts) - length + 1))
    return sorted(found, key=lambda symbol: (-len(symbol), symbol))


def places_of(words: Collection[str], text: str) -> Iterator[tuple[int, int, str]]:
    """Where ``text`` holds one of ``words`` (as ``code_words`` gives them): start, end and the word."""
    for run in _RUN.finditer(text):
        inside = [part.span() for part in _PART.finditer(run[0])] if run[0].isascii() else _covered(run[0], words)
        for start, end in inside:
            word = next((word for word in code_words(run[0][start:end]) if word in words), None)
            if word is not None:
                yield run.start() + start, run.start() + end, word


def _covered(run: str, words: Collection[str]) -> list[tuple[int, int]]:
    """The stretches of ``run``, which has no spaces, that ``words`` make up; all of it if it spells them otherwise."""
    held = {re.escape(word): len(word) for word in code_words(run) if word in words}
    starts = ((found.start(), size) for word, size in held.items() for found in re.finditer(f"(?={word})", run.lower()))
    covered = {place for start, size in starts for place in range(start, start + size)}
    first = sorted(place for place in covered if place - 1 not in covered)
    last = sorted(place + 1 for place in covered if place + 1 not in covered)
    return list(zip(first, last, strict=True)) or [(0, len(run))]


def _without_empty(question: str) -> str:
    empty = _EMPTY.split()
    return " ".join(word for word in question.split() if word.lower().strip("?!.,") not in empty)


def _words(text: str) -> Iterator[str]:
    for run in _RUN.findall(unicodedata.normalize("NFKC", text)):
        if not run.isascii():
            yield from analyze(run)
            continue
        if len(run) > _MAX_IDENTIFIER:
            continue
        parts = split_identifier(run)
        for part in parts:
            yield from _stem(part)
        if len(parts) > 1:
            yield "".join(parts)


@lru_cache(100_000)
def _stem(word: str) -> tuple[str, ...]:
    return tuple(analyze(word))


@cache
def _written() -> dict[str, tuple[str, ...]]:
    rows = (row.split() for row in _WRITTEN.split("|"))
    return {_stem(word)[0]: tuple(other for form in forms for other in _stem(form)) for word, *forms in rows}


def analyze(text: str) -> list[str]:
    """The words of ``text`` in order: NFKC, lower case, English stems (Porter 1980), Chinese words cut for search.

    A long Chinese word comes with the shorter words that it holds, and every pair of neighboring characters comes too,
    because a word that the dictionary lacks is cut differently in a sentence than alone. What is neither letter nor
    digit separates words.

    Raises:
        MissingExtraError: tantivy, or jieba for Chinese text, is not installed.
    """
    return list(_language_words(unicodedata.normalize("NFKC", text).lower()))


def _language_words(text: str) -> Iterator[str]:
    stemmer = _stemmer()
    for run in _RUNS.finditer(text):
        if run[1]:
            yield from (word for word in _cutter().cut_for_search(run[1], HMM=False) if len(word) != 2)
            yield from map("".join, pairwise(run[1]))
        elif run[2].isascii():
            yield from stemmer.analyze(run[2].removesuffix("'s").replace("'", ""))
        else:
            yield run[2]


@cache
def _stemmer() -> Any:
    tantivy = load_tantivy()
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
    return builder.filter(tantivy.Filter.stemmer("english")).build()


@cache
def _cutter() -> Any:
    try:
        import jieba
    except ImportError as error:
        raise MissingExtraError.of("jieba", extra="search", purpose="the words of Chinese text") from error
    jieba.setLogLevel("WARNING")
    return jieba.Tokenizer()

"""Words of English and Chinese text, as an index of words takes them.

It does not know code (code brings its own analysis), leaves stop words in (BM25 weighs them down), and folds no
accents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from tonggan.errors import MissingExtraError
from tonggan.retrieval.word_index import load_tantivy

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_RUNS = re.compile(rf"([{_HAN}]+)|([^\W_{_HAN}]+(?:'[^\W_{_HAN}]+)*)")


def analyze(text: str) -> list[str]:
    """The words of ``text`` in order: NFKC, lower case, English stems (Porter 1980), Chinese words cut for search.

    A long Chinese word comes with the shorter words that it holds, and every pair of neighboring characters comes too,
    because a word that the dictionary lacks is cut differently in a sentence than alone. What is neither letter nor
    digit separates words.

    Raises:
        MissingExtraError: tantivy, or jieba for Chinese text, is not installed.
    """
    return list(_words(unicodedata.normalize("NFKC", text).lower()))


def _words(text: str) -> Iterator[str]:
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

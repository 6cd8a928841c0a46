"""Texts as hashes of their words and of runs of words: what near-duplicates and contamination are found by.

Hashes are the same in every process and on every machine. It compares nothing itself.
"""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")  # of UTF-8, so that words of every script stay whole
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth, The Art of Computer Programming, 6.4)


def words_of(text: str) -> list[bytes]:
    """Names, numbers and words of natural language in UTF-8; neither signs nor spaces."""
    return _WORD.findall(text.encode("utf-8", "replace"))


def hash_words(words: list[bytes]) -> NDArray[np.uint64]:
    """A hash for each word, ``[N]``."""
    return np.fromiter(map(zlib.crc32, words), dtype=np.uint64, count=len(words))


def ngrams(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """A hash for each run of ``size`` words, ``[N - size + 1]``; none where there are fewer words."""
    count = len(hashes) - size + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64)
    result = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        result = (result ^ hashes[offset : offset + count]) * _MULTIPLIER  # wraps around at 2^64, as it should
        result ^= result >> np.uint64(29)
    return result

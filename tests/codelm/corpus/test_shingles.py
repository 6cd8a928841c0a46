"""Words and runs of words as hashes."""

from __future__ import annotations

import zlib

import numpy as np

from tonggan.codelm.corpus.shingles import hash_words, ngrams, words_of


def test_words_are_names_numbers_and_words_of_every_script():
    assert words_of("snake_case += f(2, 'naïve') # 注释") == [
        b"snake_case", b"f", b"2", "naïve".encode(), "注释".encode()
    ]  # fmt: skip
    assert hash_words([b"a", b"b"]).tolist() == [zlib.crc32(b"a"), zlib.crc32(b"b")]


def test_runs_are_equal_where_their_words_are_in_order():
    one, other = (hash_words(words_of(text)) for text in ("a b c d e f", "x b c d e y c b d e"))
    shared = np.intersect1d(ngrams(one, 4), ngrams(other, 4))
    assert len(shared) == 1
    assert shared[0] == ngrams(one, 4)[1]
    assert len(ngrams(one, 6)) == 1
    assert len(ngrams(one, 7)) == 0


def test_runs_hardly_ever_collide():
    words = np.arange(200_000, dtype=np.uint64)
    assert len(np.unique(ngrams(words, 5))) == len(words) - 4

"""Near-duplicates, against the exact Jaccard similarity of sets."""

from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHash

from tonggan.codelm.corpus.near_duplicates import NearDuplicates, signature
from tonggan.codelm.corpus.shingles import hash_words, ngrams, words_of


def text_of(seed: int, num_words: int = 400) -> list[str]:
    return [f"w{number}" for number in np.random.default_rng(seed).integers(5000, size=num_words)]


def hashes(words: list[str]) -> np.ndarray:
    return hash_words(words_of(" ".join(words)))


def changed(words: list[str], count: int) -> list[str]:
    """``words`` with ``count`` of them replaced, far from each other."""
    places = np.linspace(10, len(words) - 10, count).astype(int)
    return [f"new{place}" if place in places else word for place, word in enumerate(words)]


def jaccard(one: list[str], other: list[str]) -> float:
    first, second = (set(ngrams(hashes(words), 5).tolist()) for words in (one, other))
    return len(first & second) / len(first | second)


def test_the_signature_is_that_of_the_library():
    shingles = np.unique(ngrams(hashes(text_of(0)), 5)).astype(np.uint32).tolist()
    reference = MinHash(num_perm=256, hashfunc=int, scheme="affine32")
    reference.update_batch(shingles)
    assert np.array_equal(signature(hashes(text_of(0))), reference.hashvalues)


@pytest.mark.parametrize(("num_changed", "same"), [(0, True), (5, True), (8, True), (25, False), (80, False)])
def test_files_repeat_each_other_above_the_threshold(num_changed, same):
    one = text_of(1)
    other = changed(one, num_changed)
    exact = jaccard(one, other)
    assert (exact >= 0.7) is same
    duplicates = NearDuplicates()
    assert duplicates.add("one", signature(hashes(one))) is None
    found = duplicates.add("other", signature(hashes(other)))
    assert (found is not None) is same
    if found:
        assert found[0] == "one"
        assert found[1] == pytest.approx(exact, abs=0.12)  # four standard deviations of 256 permutations


def test_the_most_similar_one_is_named_and_a_repetition_is_not_kept():
    one = text_of(2)
    duplicates = NearDuplicates()
    duplicates.add("far", signature(hashes(changed(one, 60))))
    duplicates.add("one", signature(hashes(one)))
    assert duplicates.add("near", signature(hashes(changed(one, 3))))[0] == "one"
    assert duplicates.add("again", signature(hashes(changed(one, 3))))[0] == "one"


def test_texts_of_few_words_have_no_signature():
    assert signature(hashes(["a", "b", "c", "d"])) is None
    assert signature(hashes(["a", "b", "c", "d", "e"])) is not None

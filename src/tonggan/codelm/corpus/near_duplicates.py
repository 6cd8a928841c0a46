"""Files that nearly repeat one that was seen before, over the whole corpus.

MinHash with locality-sensitive hashing (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4) by the package
datasketch, with the figures of the BigCode project (Kocetkov et al. 2022): 256 permutations of runs of five words,
Jaccard similarity 0.7. A file is compared with those that were kept, so a chain of small changes is not lost at once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.corpus.shingles import ngrams
from tonggan.errors import MissingExtraError

if TYPE_CHECKING:
    from datasketch import MinHash

NUM_PERMUTATIONS = 256
SIMILARITY = 0.7

_WORDS_PER_SHINGLE = 5
# 32 bands of 8: two files of similarity 0.7 meet with probability 0.85, of 0.8 with 0.997; whoever meets is compared.
_BANDS = (32, 8)
_CHUNK = 256  # shingles at a time, so that the products stay in the processor's cache


def signature(hashes: NDArray[np.uint64]) -> NDArray[np.uint32] | None:
    """The MinHash ``[256]`` of a text's runs of five words; None for a text with fewer words.

    Args:
        hashes: of its words, as ``shingles.hash_words`` gives them.

    Raises:
        MissingExtraError: package datasketch is not installed.
    """
    shingles = np.unique(ngrams(hashes, _WORDS_PER_SHINGLE)).astype(np.uint32).tolist()
    if not shingles:
        return None
    minhash = _minhash(None)
    for start in range(0, len(shingles), _CHUNK):
        minhash.update_batch(shingles[start : start + _CHUNK])
    values: NDArray[np.uint32] = minhash.hashvalues.astype(np.uint32)
    return values


class NearDuplicates:
    """The signatures of all files kept so far.

    Raises:
        MissingExtraError: package datasketch is not installed.
    """

    def __init__(self) -> None:
        try:
            from datasketch import MinHashLSH
        except ImportError as error:
            raise _missing() from error
        self._index = MinHashLSH(threshold=SIMILARITY, num_perm=NUM_PERMUTATIONS, params=_BANDS)
        self._kept: dict[str, NDArray[np.uint32]] = {}

    def add(self, key: str, values: NDArray[np.uint32]) -> tuple[str, float] | None:
        """Keep ``key``, or tell which kept one it repeats and how similar they are; of several the most similar."""
        minhash = _minhash(values)
        met = sorted((-float((self._kept[other] == values).mean()), other) for other in self._index.query(minhash))
        if met and -met[0][0] >= SIMILARITY:
            return met[0][1], -met[0][0]
        self._index.insert(key, minhash, check_duplication=False)
        self._kept[key] = values
        return None


def _minhash(values: NDArray[np.uint32] | None) -> MinHash:
    try:
        from datasketch import MinHash
    except ImportError as error:
        raise _missing() from error
    return MinHash(
        num_perm=NUM_PERMUTATIONS,
        hashfunc=int,
        hashvalues=values,
        permutations=_permutations(),
        scheme="affine32",
    )


@cache
def _permutations() -> NDArray[np.uint32]:
    """Those that datasketch draws from its default seed; drawing them takes longer than a short file."""
    from datasketch import MinHash

    permutations: NDArray[np.uint32] = MinHash(num_perm=NUM_PERMUTATIONS, scheme="affine32").permutations
    return permutations


def _missing() -> MissingExtraError:
    return MissingExtraError.of("datasketch", extra="code", purpose="finding near-duplicates")

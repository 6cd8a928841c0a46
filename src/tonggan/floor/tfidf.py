"""Logistic and ridge regression on the words and characters of texts, Chinese ones too.

Their counts are weighted as scikit-learn does it (TF-IDF), in our own arrays.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.features import Features, Reading
from tonggan.floor.linear_fit import fit_penalized, link, wanted
from tonggan.floor.rows import deal, sample, with_hidden_copies
from tonggan.wording import Words

_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)
_MOST_ROWS = 50_000
_MOST_TERMS = 100_000  # of one input and analyzer
_MOST_CHARACTERS = 8_000_000  # of all texts of an input that are read
_ROWS_FOR_PAIRS = 500  # with fewer, terms of a single text count too
_IDEOGRAPHS = ("\u3040", "\u9fff")
_WORD = re.compile(r"(?u)\b\w\w+\b")
_SPACE = re.compile(r"\s\s+")
_SEPARATOR = "\x00"
_LONGEST = 100  # words or characters of a run


class TfidfConfig(MemberConfig):
    """Logistic regression for classes and labels, ridge regression for numbers, on weighted counts of terms."""

    cost: ClassVar[int] = 2
    reads: ClassVar[frozenset[str]] = frozenset({"texts"})
    kind: Literal["tfidf"] = "tfidf"
    penalty: float | None = None
    """L2 penalty on the weights; by default, the best of a grid on held-out rows."""
    words: ClassVar[Words] = Words("word and character counts", "词与字符统计")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.8 * seconds
        examples = sample(examples, _MOST_ROWS, seed=seed)
        counters = _counters(examples.features, deadline)
        if not counters:
            raise CannotFitError(
                "word and character counts",
                got="no text that has a word twice" if _has_texts(examples.features) else "no texts",
                expected="an input of texts",
                remedy="Leave it out, or give it a column of texts",
            )
        apart = deal(examples.targets, 5, seed=seed) == 0
        examples, origins = with_hidden_copies(examples, seed=seed)
        held, _ = fit_penalized(
            _matrix(counters, examples.features).scipy(),
            wanted(examples.targets, goal),
            examples.weights,
            goal,
            penalties=_PENALTIES if self.penalty is None else (self.penalty,),
            apart=apart[origins],
            learned=~apart[origins],
            deadline=deadline,
        )
        return TfidfMember(counters, held, goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        counters = [
            (str(said["input"]), Terms.load(said, stored.arrays, f"terms.{index}"))
            for index, said in enumerate(stored.plain["terms"])
        ]
        return TfidfMember(counters, stored.arrays["weights"], goal)


class TfidfMember(Member):
    """A linear model of counts of terms.

    Args:
        counters: names of inputs, and what is counted of each.
        weights: ``[F + 1, size]``, the intercept last.
        goal: what is predicted.
    """

    def __init__(self, counters: Sequence[tuple[str, Terms]], weights: Floats, goal: Goal) -> None:
        self.counters, self.weights, self.goal = counters, weights, goal

    def predict(self, features: Features) -> Floats:
        return link(_matrix(self.counters, features).times(self.weights[:-1]) + self.weights[-1], self.goal)

    def store(self) -> Stored:
        plain, arrays = [], {"weights": self.weights}
        for index, (name, terms) in enumerate(self.counters):
            said, held = terms.store(f"terms.{index}")
            plain.append({"input": name, **said})
            arrays |= held
        return Stored({"terms": plain}, arrays)


def _has_texts(features: Features) -> bool:
    return any(reading.texts is not None for reading in features.values())


def _texts(reading: Reading) -> list[str]:
    """Of each row, empty where it is absent."""
    assert reading.texts is not None, "only texts are counted"
    return [str(text) if there else "" for text, there in zip(reading.texts, reading.present, strict=True)]


def _counters(features: Features, deadline: float) -> list[tuple[str, Terms]]:
    counters = []
    for name, reading in features.items():
        if reading.texts is None or not reading.present.any():
            continue
        texts = [text for text, there in zip(_texts(reading), reading.present, strict=True) if there]
        least = 2 if len(texts) > _ROWS_FOR_PAIRS else 1
        most = max(_MOST_CHARACTERS // len(texts), 200)
        ideographs = _share_of_ideographs(texts)
        ways: list[tuple[str, tuple[int, int]]] = [("words", (1, 2)), ("characters", (2, 5))]
        if ideographs > 0.3:
            ways = [("characters", (1, 3))]
        for analyzer, lengths in ways:
            found = Terms.fit(
                texts,
                analyzer,
                lengths,
                least_texts=least,
                most_terms=_MOST_TERMS,
                most_characters=most,
                deadline=deadline,
            )
            if found.vocabulary:
                counters.append((name, found))
    return counters


def _share_of_ideographs(texts: Sequence[str]) -> float:
    letters = [letter for text in texts[:1000] for letter in text[:200] if letter.isalpha()]
    first, last = _IDEOGRAPHS
    return sum(first <= letter <= last for letter in letters) / max(len(letters), 1)


def _matrix(counters: Sequence[tuple[str, Terms]], features: Features) -> Sparse:
    """Counts of all inputs, and for each whether it is absent."""
    rows = len(next(iter(features.values())))
    parts = []
    for name, terms in counters:
        parts.append(terms.count(_texts(features[name])))
    for name in dict.fromkeys(name for name, _ in counters):
        absent = np.flatnonzero(~features[name].present)
        starts = np.searchsorted(absent, np.arange(rows + 1))
        parts.append(Sparse(starts, np.zeros(len(absent), dtype=np.int64), np.ones(len(absent)), 1))
    return beside(parts)


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix ``[N, width]`` of which most is zero: row r holds ``values[starts[r]:starts[r + 1]]`` at ``columns``."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Floats
    width: int

    def times(self, weights: Floats) -> Floats:
        """The product with ``weights`` ``[width, K]``."""
        product = np.zeros((len(self.starts) - 1, weights.shape[1]))
        step = max(1, 4_000_000 // weights.shape[1])  # entries at a time
        row = 0
        while row < len(product):
            end = max(row + 1, int(np.searchsorted(self.starts, self.starts[row] + step, side="right")) - 1)
            here = slice(self.starts[row], self.starts[end])
            filled = row + np.flatnonzero(np.diff(self.starts[row : end + 1]))
            if len(filled):
                parts = weights[self.columns[here]] * self.values[here, None]
                product[filled] = np.add.reduceat(parts, self.starts[filled] - self.starts[row])
            row = end
        return product

    def scipy(self) -> Any:
        """The same as SciPy has it, to fit with."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.values, self.columns, self.starts), shape=(len(self.starts) - 1, self.width))


def words(text: str, shortest: int, longest: int) -> list[str]:
    """Runs of so many words, of two letters or more each."""
    tokens = _WORD.findall(text.lower())
    runs = list(tokens) if shortest <= 1 else []
    for length in range(max(shortest, 2), longest + 1):
        runs += [" ".join(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]
    return runs


def characters(text: str, shortest: int, longest: int) -> list[str]:
    """Runs of so many characters within words, whose ends count as spaces."""
    runs = []
    for word in _SPACE.sub(" ", text.lower()).split():
        padded = f" {word} "
        for length in range(shortest, longest + 1):
            if length >= len(padded):
                runs.append(padded)
                break
            runs += [padded[start : start + length] for start in range(len(padded) - length + 1)]
    return runs


_ANALYZERS: Mapping[str, Callable[[str, int, int], list[str]]] = {"words": words, "characters": characters}


class Terms:
    """One way to count: which runs there are, and how much each tells.

    Args:
        analyzer: ``words`` or ``characters``.
        lengths: the shortest and the longest run.
        most_characters: of a text that are read.
        vocabulary: the runs, in the order of their columns.
        weights: ``[F]`` inverse document frequencies.
    """

    def __init__(
        self, analyzer: str, lengths: tuple[int, int], most_characters: int, vocabulary: Sequence[str], weights: Floats
    ) -> None:
        self.analyzer, self.lengths, self.most_characters = analyzer, lengths, most_characters
        self.vocabulary, self.weights = vocabulary, weights
        self._columns = {term: column for column, term in enumerate(vocabulary)}

    @staticmethod
    def fit(
        texts: Sequence[str],
        analyzer: str,
        lengths: tuple[int, int],
        *,
        least_texts: int,
        most_terms: int,
        most_characters: int,
        deadline: float = math.inf,
    ) -> Terms:
        """The runs that enough of ``texts`` have, of too many those of most texts.

        Raises:
            CannotFitError: they are not counted by the ``deadline`` of ``time.monotonic``.
        """
        counts: Counter[str] = Counter()
        read = _ANALYZERS[analyzer]
        for number, text in enumerate(texts):
            if time.monotonic() > deadline:
                raise CannotFitError(
                    "word and character counts",
                    got=f"{number} of {len(texts)} texts counted when time ran out",
                    expected="time for all of them",
                    remedy="Raise the time limit",
                )
            counts.update(set(read(text[:most_characters], *lengths)))
        kept = [(count, term) for term, count in counts.items() if count >= least_texts]
        kept = sorted(kept, key=lambda item: (-item[0], item[1]))[:most_terms]
        found = np.array([count for count, _ in kept], dtype=np.float64)
        weights = np.log((1 + len(texts)) / (1 + found)) + 1
        return Terms(analyzer, lengths, most_characters, [term for _, term in kept], weights)

    def count(self, texts: Iterable[str]) -> Sparse:
        """For each text a row of length 1: logarithmic counts of its runs times their weights; zeros without any."""
        read, known = _ANALYZERS[self.analyzer], self._columns
        texts = list(texts)
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}  # rows may share a text
        runs = [[known[t] for t in read(text[: self.most_characters], *self.lengths) if t in known] for text in places]
        width = len(self.vocabulary)
        owners = np.repeat(np.arange(len(runs)), [len(each) for each in runs])
        cells, counts = np.unique(owners * width + np.fromiter(chain(*runs), np.int64), return_counts=True)
        columns = cells % max(width, 1)
        values = (1 + np.log(counts)) * self.weights[columns]
        ends = np.searchsorted(cells, np.arange(len(runs) + 1) * width)
        for start, end in pairwise(ends.tolist()):
            values[start:end] /= np.sqrt(np.square(values[start:end]).sum()) or 1.0
        rows = np.array([places[text] for text in texts], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(np.diff(ends)[rows])])
        taken = np.arange(starts[-1]) + np.repeat(ends[rows] - starts[:-1], np.diff(starts))
        return Sparse(starts, columns[taken], values[taken], width)

    def store(self, prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Plain data, and arrays under names that begin with ``prefix``."""
        raw = _SEPARATOR.join(self.vocabulary).encode("utf-8", "surrogatepass")
        arrays: dict[str, NDArray[Any]] = {
            f"{prefix}.vocabulary": np.frombuffer(raw, dtype=np.uint8),
            f"{prefix}.weights": self.weights,
        }
        plain = {"analyzer": self.analyzer, "lengths": list(self.lengths), "most_characters": self.most_characters}
        return plain, arrays

    @staticmethod
    def load(plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> Terms:
        """The inverse of ``store``.

        Raises:
            KeyError, ValueError: something is missing or does not fit together.
        """
        text = arrays[f"{prefix}.vocabulary"].tobytes().decode("utf-8", "surrogatepass")
        weights = arrays[f"{prefix}.weights"]
        vocabulary = text.split(_SEPARATOR) if len(weights) else []
        if len(vocabulary) != len(weights) or plain["analyzer"] not in _ANALYZERS:
            raise ValueError(f"{len(vocabulary)} terms have {len(weights)} weights")
        shortest, longest = map(int, plain["lengths"])
        if not 1 <= shortest <= longest <= _LONGEST:
            raise ValueError(f"runs of {shortest} to {longest} terms are counted, not of 1 to {_LONGEST} at the most")
        most_characters = int(plain["most_characters"])
        if most_characters < 1:
            raise ValueError(f"{most_characters} characters of a text are read, not at least 1")
        return Terms(plain["analyzer"], (shortest, longest), most_characters, vocabulary, weights)


def beside(parts: Sequence[Sparse]) -> Sparse:
    """Matrices of the same rows, side by side."""
    rows = len(parts[0].starts) - 1
    offsets = np.cumsum([0, *(part.width for part in parts)])
    owner = np.concatenate([np.repeat(np.arange(rows), np.diff(part.starts)) for part in parts])
    order = np.argsort(owner, kind="stable")
    columns = np.concatenate([part.columns + offset for part, offset in zip(parts, offsets, strict=False)])
    values = np.concatenate([part.values for part in parts])
    starts = np.cumsum([0, *np.bincount(owner, minlength=rows).tolist()])
    return Sparse(starts, columns[order], values[order], int(offsets[-1]))

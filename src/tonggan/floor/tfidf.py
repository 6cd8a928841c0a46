"""Logistic and ridge regression on the words and characters of texts, Chinese ones too."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.features import Features, Reading
from tonggan.floor.linear_fit import fit_penalized, link, wanted
from tonggan.floor.rows import deal, sample, with_hidden_copies
from tonggan.floor.terms import Sparse, Terms, beside
from tonggan.wording import Words

_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)
_MOST_ROWS = 50_000
_MOST_TERMS = 100_000  # of one input and analyzer
_MOST_CHARACTERS = 8_000_000  # of all texts of an input that are read
_ROWS_FOR_PAIRS = 500  # with fewer, terms of a single text count too
_IDEOGRAPHS = ("\u3040", "\u9fff")


class TfidfConfig(MemberConfig):
    """Logistic regression for classes and labels, ridge regression for numbers, on weighted counts of terms."""

    cost: ClassVar[int] = 2
    reads: ClassVar[frozenset[str]] = frozenset({"texts"})
    kind: Literal["tfidf"] = "tfidf"
    penalty: float | None = None
    """Of the squared weights; by default the one of a grid that serves rows set apart best."""
    words: ClassVar[Words] = Words("word and character counts", "词与字符统计")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.8 * seconds
        examples = sample(examples, _MOST_ROWS, seed=seed)
        counters = _counters(examples.features)
        if not counters:
            raise CannotFitError(
                "word and character counts",
                got="no text that has a word twice" if _has_texts(examples.features) else "no texts",
                expected="an input of texts",
                remedy="Leave it out, or give it a column of texts",
            )
        apart = deal(examples.targets, 5, seed=seed) == 0
        examples, origins = with_hidden_copies(examples, seed=seed)
        if time.monotonic() > deadline:
            raise CannotFitError(
                "word and character counts",
                got=f"{seconds:.2g} s",
                expected="more time for these texts",
                remedy="Raise the time limit",
            )
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


def _counters(features: Features) -> list[tuple[str, Terms]]:
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
            found = Terms.fit(texts, analyzer, lengths, least_texts=least, most_terms=_MOST_TERMS, most_characters=most)
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

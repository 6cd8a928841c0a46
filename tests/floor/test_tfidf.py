"""Linear models of terms: their contract, inputs that have none, and counts that are those of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from contracts import check_member, example_rows
from tonggan.floor import CannotFitError, Examples, Goal, Reading
from tonggan.floor.tfidf import Sparse, Terms, TfidfConfig, beside

TEXTS = [
    "The quick  brown fox jumps over the lazy dog",
    "今天天气很好,我们去公园 散步吧",
    "",
    "a b c",
    "Fox fox FOX; naïve café 3.14 and 42",
    "公园里的天气 is lovely, the fox says",
]
ANALYZERS = {"words": "word", "characters": "char_wb"}


def test_contract() -> None:
    check_member(TfidfConfig())


def test_without_texts_it_is_left_out() -> None:
    examples, goal = example_rows("classes")
    table = {"table": examples.features["table"]}
    with pytest.raises(CannotFitError, match="no texts"):
        TfidfConfig().fit(Examples(table, examples.targets, examples.weights), goal, seed=0, seconds=30.0)


def test_chinese_texts_are_counted_by_character() -> None:
    texts = np.array([f"{'红' if k % 2 else '绿'}灯亮了{'。' * (k % 5)}" for k in range(80)], dtype=object)
    truth = np.arange(80) % 2
    examples = Examples({"note": Reading(np.ones(80, dtype=bool), texts=texts)}, truth, np.ones(80))
    member = TfidfConfig().fit(examples, Goal("classes", 2), seed=0, seconds=30.0)
    fresh = Reading(np.ones(2, dtype=bool), texts=np.array(["绿灯", "前面是红灯"], dtype=object))
    assert member.predict({"note": fresh}).argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("least", [1, 2])
@pytest.mark.parametrize(("analyzer", "lengths"), [("words", (1, 2)), ("characters", (2, 5)), ("characters", (1, 3))])
def test_counts(analyzer: str, lengths: tuple[int, int], least: int) -> None:
    terms = Terms.fit(TEXTS, analyzer, lengths, least_texts=least, most_terms=10_000, most_characters=1000)
    reference = TfidfVectorizer(analyzer=ANALYZERS[analyzer], ngram_range=lengths, min_df=least, sublinear_tf=True)
    expected = reference.fit_transform(TEXTS).toarray()
    order = [reference.vocabulary_[term] for term in terms.vocabulary]
    counted = terms.count(TEXTS)
    np.testing.assert_allclose(counted.scipy().toarray(), expected[:, order], atol=1e-12)
    weights = np.random.default_rng(0).normal(size=(len(order), 3))
    np.testing.assert_allclose(counted.times(weights), expected[:, order] @ weights, atol=1e-12)
    plain, arrays = terms.store("x")
    again = Terms.load(plain, arrays, "x")
    np.testing.assert_array_equal(again.count(TEXTS).values, counted.values)


@pytest.mark.parametrize(
    "wrong",
    [{"lengths": [1, 10**9]}, {"lengths": [2, 1]}, {"lengths": [0, 1]}, {"lengths": [1]}, {"most_characters": -1}],
)
def test_what_cannot_be_counted_is_refused(wrong: dict[str, Any]) -> None:
    terms = Terms.fit(TEXTS, "words", (1, 2), least_texts=1, most_terms=99, most_characters=99)
    plain, arrays = terms.store("x")
    with pytest.raises(ValueError):
        Terms.load({**plain, **wrong}, arrays, "x")


def test_of_too_many_terms_those_of_most_texts_are_kept() -> None:
    terms = Terms.fit(
        ["one two", "two three", "two one"], "words", (1, 1), least_texts=1, most_terms=2, most_characters=9
    )
    assert terms.vocabulary == ["two", "one"]


def test_matrices_side_by_side_and_products_in_parts() -> None:
    generator = np.random.default_rng(0)
    dense = generator.normal(size=(50, 30)) * (generator.random((50, 30)) < 0.2)
    dense[7] = 0

    def sparse(part: np.ndarray) -> Sparse:
        rows, columns = np.nonzero(part)
        return Sparse(np.searchsorted(rows, np.arange(51)), columns, part[rows, columns], part.shape[1])

    both = beside([sparse(dense[:, :12]), sparse(dense[:, 12:])])
    np.testing.assert_array_equal(both.scipy().toarray(), dense)
    weights = generator.normal(size=(30, 400_000))  # so wide that a few entries are multiplied at a time
    np.testing.assert_allclose(both.times(weights)[:, :50], dense @ weights[:, :50], atol=1e-12)

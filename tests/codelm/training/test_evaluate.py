"""A model is promoted for being better on all counts, and for nothing less."""

import pytest

from tonggan.codelm.training.evaluate import Scores, Verdict

BEFORE = Scores(exact_match=0.4, edit_similarity=0.7, perplexity=3.0)


@pytest.mark.parametrize(
    ("after", "is_better"),
    [
        (Scores(0.5, 0.8, 2.0), True),
        (Scores(0.4, 0.8, 2.0), True),
        (BEFORE, False),
        (Scores(0.5, 0.8, 3.1), False),
        (Scores(0.5, 0.7, 2.0), False),
        (Scores(0.3, 0.8, 2.0), False),
    ],
)
def test_promotion_wants_all_counts(after, is_better):
    verdict = Verdict("base", BEFORE, after, 100, (-0.01, 0.1))
    assert verdict.is_better == is_better
    assert verdict.to_dict()["is_better"] == is_better
    assert verdict.describe().startswith(
        "100 held-out lines, base with retrieval -> trained with retrieval: exact match 40.0%"
    )

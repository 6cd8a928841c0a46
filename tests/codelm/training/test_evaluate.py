"""A model is promoted where its gain is beyond chance and nothing is worse, and for nothing less."""

import pytest

from tonggan.codelm.training.evaluate import Scores, Verdict

BEFORE = Scores(exact_match=0.4, edit_similarity=0.7, perplexity=3.0)
AFTER = Scores(0.5, 0.8, 2.0)


@pytest.mark.parametrize(
    ("after", "lines", "gain", "decision", "reason"),
    [
        (AFTER, 100, (0.01, 0.1), "better", "above zero"),
        (Scores(0.4, 0.8, 2.0), 200, (0.01, 0.1), "better", "above zero"),
        (AFTER, 10, (0.01, 0.1), "undecided", "10 lines are no evidence"),
        (AFTER, 100, (-0.037, 0.157), "undecided", "reaches down to zero"),
        (Scores(0.5, 0.8, 3.1), 100, (0.01, 0.1), "undecided", "perplexity is worse"),
        (Scores(0.3, 0.8, 2.0), 100, (0.01, 0.1), "undecided", "exact match or"),
        (Scores(0.3, 0.6, 4.0), 100, (-0.2, -0.1), "worse", "below zero"),
        (Scores(0.3, 0.6, 4.0), 10, (-0.2, -0.1), "undecided", "10 lines are no evidence"),
    ],
)
def test_promotion_wants_evidence(after, lines, gain, decision, reason):
    verdict = Verdict("base", BEFORE, after, lines, gain)
    assert verdict.decision == decision
    assert reason in verdict.reason
    assert verdict.is_better == (decision == "better")
    assert verdict.to_dict()["decision"] == decision
    assert verdict.describe().startswith(
        f"{lines} held-out lines, base with retrieval -> trained with retrieval: exact match 40.0%"
    )

"""Linear models of terms: their contract, and inputs that have none."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import check_member, example_rows
from tonggan.floor import CannotFitError, Examples, Goal, Reading
from tonggan.floor.tfidf import TfidfConfig


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

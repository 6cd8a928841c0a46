import json

import numpy as np
import pytest
import torch

from tonggan.errors import ConfigError
from tonggan.evaluation.subsets import all_subsets, evaluate_subsets, group_inputs, hide, shapley_values
from tonggan.tokens import Tokens

COLUMNS = {"left": np.tile([1.0, 1.0, -1.0, -1.0], 5), "right": np.tile([1.0, -1.0, 1.0, -1.0], 5)}
BOTH = np.tile([1, 0, 0, 0], 5)


def test_each_subset_worked_by_hand(sums):
    case = sums(COLUMNS, BOTH)
    rows = evaluate_subsets(case.model, case.task, case.dataset, kinds=case.kinds, batch_size=7)
    # One input alone says yes wherever it is +1, in half of the rows; nothing at all always says no.
    assert [(row.present, row.score) for row in rows] == [
        ((), 0.75),
        (("left",), 0.75),
        (("right",), 0.75),
        (("left", "right"), 1.0),
    ]
    assert rows[0].metrics["recall_macro"] == 0.5
    assert "reducers" not in vars(rows[0].measure), "what is prepared for metrics is kept for every subset"
    assert rows[0].num_rows == 20
    assert json.loads(json.dumps(rows[3].to_dict()))["present"] == ["left", "right"]


def test_the_full_subset_is_the_model_itself(sums):
    case = sums(COLUMNS, BOTH)
    rows = evaluate_subsets(case.model, case.task, case.dataset, kinds=case.kinds)
    with torch.no_grad():
        outputs = case.model(case.dataset.batch(np.arange(20)).inputs)["outputs"]
    assert np.array_equal(rows[-1].measure.rows["outputs"], outputs.numpy())


def test_one_input(sums):
    case = sums({"left": COLUMNS["left"]}, BOTH)
    rows = evaluate_subsets(case.model, case.task, case.dataset, kinds=case.kinds)
    assert [row.present for row in rows] == [(), ("left",)]


def test_many_inputs_are_switched_by_kind(sums):
    few = dict.fromkeys("abcdef", "image")
    assert group_inputs(few) == {name: (name,) for name in "abcdef"}
    assert group_inputs({**few, "g": "text"}) == {"image": tuple("abcdef"), "text": ("g",)}
    columns = {name: np.array([1.0, -1.0, 1.0, -1.0]) for name in "abcdefg"}
    case = sums(columns, np.array([1, 0, 1, 0]))
    kinds = {name: "image" if name < "d" else "text" for name in columns}
    rows = evaluate_subsets(case.model, case.task, case.dataset, kinds=kinds)
    assert [row.present for row in rows] == [(), ("image",), ("text",), ("image", "text")]
    assert rows[1].measure.rows["outputs"][0].item() == pytest.approx(2.9)


def test_all_subsets_by_size():
    assert all_subsets("abc") == [(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]


def test_what_is_hidden_is_absent_and_nothing_else_changes():
    tokens = {name: Tokens(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)) for name in "ab"}
    hidden = hide(tokens, visible=["b"])
    assert not hidden["a"].present.any()
    assert hidden["b"] is tokens["b"]


def subset(text: str) -> frozenset[str]:
    return frozenset(text)


def test_a_game_worked_by_hand():
    # The glove game: "a" holds a left glove, "b" and "c" a right one each; only a pair is worth anything.
    # "a" is decisive in 4 of the 6 orders, "b" in one (b a c) and "c" in one (c a b).
    value = {
        subset(text): float("a" in text and len(text) > 1) for text in ("", "a", "b", "c", "ab", "ac", "bc", "abc")
    }
    assert shapley_values(value) == pytest.approx({"a": 4 / 6, "b": 1 / 6, "c": 1 / 6})


def test_the_values_sum_to_full_minus_empty():
    value = {subset(""): 0.1, subset("a"): 0.5, subset("b"): 0.3, subset("ab"): 0.9}
    values = shapley_values(value)
    assert values == pytest.approx({"a": 0.5, "b": 0.3})
    assert sum(values.values()) == pytest.approx(0.8)


def test_no_player():
    assert shapley_values({frozenset(): 0.5}) == {}


def test_a_missing_subset_is_refused():
    with pytest.raises(ConfigError, match="got 3 subsets, expected all 4 subsets of a, b"):
        shapley_values({subset(""): 0.1, subset("a"): 0.5, subset("ab"): 0.9})

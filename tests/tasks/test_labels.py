"""Labels of every type: one for all its spellings, given back as the target column has them, through a saved state."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal

import pytest
import torch

from tonggan.tasks import BinaryConfig, MulticlassConfig, TagConfig, load_task, type_of_texts
from tonggan.tokens import Prediction

DAYS = [date(2024, 3, 5), date(2024, 3, 6)]
MOMENTS = [datetime(2024, 3, 5, 10), datetime(2024, 3, 6)]


@pytest.mark.parametrize(
    ("values", "labels", "back"),
    [
        ([1, 0, 2], ["0", "1", "2"], [0, 1, 2]),
        ([1.0, 0.5], ["0.5", "1"], [0.5, 1.0]),
        ([1, 0.5], ["0.5", "1"], [0.5, 1.0]),
        ([Decimal("1.50"), Decimal(2)], ["1.5", "2"], [1.5, 2.0]),
        ([True, False], ["False", "True"], [False, True]),
        (["true", "false"], ["false", "true"], ["false", "true"]),
        (["01", "1"], ["01", "1"], ["01", "1"]),
        (["2", "10"], ["2", "10"], ["2", "10"]),
        (DAYS, ["2024-03-05", "2024-03-06"], DAYS),
        (MOMENTS, ["2024-03-05 10:00:00", "2024-03-06"], MOMENTS),
        ([True, "x"], ["True", "x"], ["True", "x"]),
    ],
)
def test_classes_come_back_in_their_own_type(values, labels, back):
    task = MulticlassConfig().build()
    task.fit(iter(values))
    loaded = load_task(task.config, json.loads(json.dumps(task.state())))
    assert loaded.labels == labels
    found = loaded.decode(Prediction({"outputs": torch.eye(len(labels))}))
    assert found == loaded.label_values == back
    assert [type(value) for value in found] == [type(value) for value in back]


def test_a_label_is_shown_as_it_is_mostly_written():
    task = MulticlassConfig().build()
    task.fit(iter(["TRUE", "true", "true ", "NO", "ＮＯ", "ＮＯ"]))
    assert task.labels == ["true", "ＮＯ"]
    assert task.target.collate(["True", "NO", " ＮＯ", True]).values.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("values", [[0, 1], [False, True], ["FALSE", "TRUE"], [0.0, 1.0], ["0", "1"]])
def test_yes_and_no_are_known_in_every_spelling(values):
    task = BinaryConfig().build()
    task.fit(iter(values))
    for same in ([0, 1], [0.0, 1.0], [False, True], ["false", "TRUE"], ["0.0", "1.00"], [" 0", "1 "]):
        assert task.target.collate(same).values.tolist() == [0, 1]


def test_tags_come_back_in_their_own_type():
    task = TagConfig().build()
    task.fit(iter([[1, 2], [2], [3, 1], []]))
    assert task.decode(Prediction({"outputs": torch.tensor([[1.0, -1.0, 1.0]])})) == [[1, 3]]
    assert task.target.collate(["1|3.0", [1.0, "3"]]).values.tolist() == [[1, 0, 1], [1, 0, 1]]


def test_a_state_from_before_labels_had_types_gives_texts():
    task = MulticlassConfig().build()
    task.fit(iter([0, 1, 2]))
    state = task.state()
    del state["label_type"]
    assert load_task(task.config, state).decode(Prediction({"outputs": torch.eye(3)})) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("labels", "stored_as", "found"),
    [
        (["0", "1", "-2"], "untyped", "integer"),
        (["0", "1"], None, "text"),
        (["0", "1.0"], "untyped", "float"),
        (["0.5", "2"], "untyped", "float"),
        (["true", "FALSE"], "untyped", "boolean"),
        (["01", "2"], "untyped", "text"),
        (["12e4", "2"], "untyped", "text"),
        (["1", "2" * 20], "untyped", "text"),
        (["a", "1"], "untyped", "text"),
        (["2024-03-05"], "untyped", "text"),
        (["2024-03-05"], "date", "date"),
        (["2024-03-05 10:00:00"], "timestamp", "timestamp"),
    ],
)
def test_texts_of_a_file_without_types_are_what_they_say(labels, stored_as, found):
    assert type_of_texts(labels, stored_as=stored_as) == found

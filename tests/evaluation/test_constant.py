import json

import numpy as np
import pytest
import torch

from tonggan.evaluation.constant import AgainstConstant, compare_with_constant
from tonggan.tasks import AnswerConfig, Binary, BinaryConfig, Regress, RegressConfig
from tonggan.tasks.base import Task


def binary(share: float, *, rows: int, right: float, seed: int = 0) -> tuple[Task, torch.Tensor, torch.Tensor]:
    """Targets of which ``share`` are "yes", and outputs that find ``right`` of all rows."""
    random = np.random.default_rng(seed)
    target = (np.arange(rows) < share * rows).astype(int)
    said = np.where(random.random(rows) < right, target, 1 - target)
    task = Binary(BinaryConfig())
    task.fit([["no", "yes"][value] for value in target])
    return task, torch.from_numpy(2.0 * said - 1).unsqueeze(1), torch.from_numpy(target)


def compare(task: Task, outputs: torch.Tensor, target: torch.Tensor) -> AgainstConstant:
    result = compare_with_constant(task, outputs, target, baseline=task.baseline(target, 1), seed=0)
    assert result is not None
    return result


def test_a_good_model_beats_the_constant_answer_and_nothing_is_to_be_said_first():
    result = compare(*binary(0.5, rows=200, right=0.9))
    assert result.beaten == "yes"
    assert result.headline == result.headline_zh == ""
    assert result.constant == 0.5
    assert result.gain_interval is not None
    assert result.gain_interval[0] > 0.2


def test_a_high_accuracy_that_the_constant_answer_has_too_is_none():
    task, outputs, target = binary(0.02, rows=500, right=1.0)
    always_no = torch.full_like(outputs, -1.0)
    assert task.metrics(always_no, target)["accuracy"] == 0.98
    result = compare(task, always_no, target)
    assert (result.beaten, result.score_name, result.model, result.constant) == ("no", "balanced_accuracy", 0.5, 0.5)
    assert result.headline == "This model does not beat the constant answer."
    assert result.headline_zh == "该模型并不优于固定答案。"
    assert "balanced accuracy is 50.0 %, that of the constant answer (always the majority class) 50.0 %" in (
        result.sentence
    )


def test_a_gain_that_may_be_chance_is_not_certain():
    task, _, target = binary(0.5, rows=100, right=1.0)
    outputs = torch.where(torch.arange(100) % 20 == 0, 1.0, -1.0).unsqueeze(1)
    outputs[:4] = 1.0  # a little better than always "no"
    result = compare(task, outputs, target)
    assert result.gain > 0
    assert result.beaten == "uncertain"
    assert "the 95 % interval of the gain is " in result.sentence


@pytest.mark.parametrize(("rows", "beaten"), [(29, "too few rows"), (30, "yes")])
def test_below_thirty_rows_there_is_no_verdict(rows, beaten):
    result = compare(*binary(0.5, rows=rows, right=1.0))
    assert result.beaten == beaten
    assert ("Only 29 rows" in result.sentence) == (rows == 29)


def test_an_error_is_better_when_smaller_and_numbers_have_a_mean():
    task = Regress(RegressConfig())
    task.fit(np.linspace(-1, 1, 60))
    target = task.encode(np.linspace(-1, 1, 60).tolist())
    assert compare(task, 0.9 * target, target).beaten == "yes"
    worse = compare(task, -target, target)
    assert worse.beaten == "no"
    assert "(always the mean) 0" in worse.sentence
    assert "总是预测均值" in worse.sentence_zh


def test_a_text_is_compared_with_the_most_common_one():
    texts = ["red"] * 30 + ["blue"] * 20
    task = AnswerConfig().build()
    task.fit(texts)
    target = task.encode(texts)
    perfect = task.text.outputs(target, losses=torch.zeros(50, 2))
    result = compare(task, perfect, target)
    assert (result.beaten, result.constant) == ("yes", 0.6)
    assert "always the most common text" in result.sentence
    assert compare(task, task.baseline(target, 50), target).beaten == "no"


def test_what_has_no_score_without_a_model_is_not_compared():
    texts = ["red", "blue"] * 20
    task = AnswerConfig(score="perplexity").build()
    task.fit(texts)
    target = task.encode(texts)
    outputs = task.text.outputs(target, losses=torch.ones(40, 2))
    assert compare_with_constant(task, outputs, target, baseline=task.baseline(target, 1), seed=0) is None


def test_it_is_plain_data():
    plain = json.loads(json.dumps(compare(*binary(0.5, rows=60, right=0.9)).to_dict()))
    assert plain["beaten"] == "yes"
    assert len(plain["gain_interval"]) == 2

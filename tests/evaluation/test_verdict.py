import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tonggan.decoders import TARGET
from tonggan.evaluation.bootstrap import Comparison
from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.verdict import AgainstConstant, Part, compare_with_constant, judge, nothing_to_fuse
from tonggan.evaluation.wording import format_gain, format_score, metric_words
from tonggan.tasks import AnswerConfig, Binary, BinaryConfig, Regress, RegressConfig
from tonggan.tasks.base import Task
from tonggan.tokens import Arrays, Prediction

COMPARISON = Comparison(
    score_name="r2",
    num_rows=1234,
    num_different=300,
    score=0.8,
    other=0.75,
    gain=0.05,
    gain_interval=(0.012, 0.081),
)
PHOTO = Part("photo", trained_alone=True)


@pytest.mark.parametrize(
    ("gain", "gain_interval", "answer"),
    [
        (0.05, (0.012, 0.081), "yes"),
        (0.05, (-0.01, 0.081), "uncertain"),
        (0.05, (0.0, 0.081), "uncertain"),
        (0.05, None, "uncertain"),
        (0.0, (0.0, 0.0), "no"),
        (-0.05, (-0.1, 0.02), "no"),
    ],
)
def test_when_fusion_pays(gain, gain_interval, answer):
    found = replace(COMPARISON, gain=gain, gain_interval=gain_interval)
    assert judge(found, PHOTO, any_trained_alone=True).fusion_pays == found.is_better == answer


def test_the_whole_sentence():
    verdict = judge(COMPARISON, PHOTO, any_trained_alone=True)
    assert verdict.sentence == (
        "Fusion pays: with all inputs R² is 0.8, 0.05 better than the best single input, 'photo' "
        "(0.75, a model trained on it alone); the 95 % interval of the gain on 1,234 rows is +0.012 to +0.081."
    )
    assert verdict.sentence_zh == (
        "融合有效：使用全部输入时R²为 0.8，与最好的单一输入“photo”（0.75，单独训练的模型）相比好 0.05；"
        "在 1,234 行上，增益的 95 % 区间为 +0.012 至 +0.081。"
    )


def test_what_is_not_known_is_said():
    found = replace(COMPARISON, gain_interval=None, gain=0.0)
    verdict = judge(found, Part("photo", trained_alone=False), any_trained_alone=False)
    assert "the same as the best single input" in verdict.sentence
    assert "the 1,234 rows are not enough for an interval" in verdict.sentence
    assert "No model was trained on one input alone" in verdict.sentence
    assert "相比相同；1,234 行数据不足以给出区间。没有为任何单一输入单独训练模型" in verdict.sentence_zh


def test_a_handful_of_rows_proves_nothing():
    # Four rows better and none worse: the bootstrap's interval lies above zero, the sign test has p = 2 / 2^4.
    verdict = judge(replace(COMPARISON, num_different=4), PHOTO, any_trained_alone=True)
    assert verdict.fusion_pays == "uncertain"
    assert "the two differ in too few rows (4) to be sure" in verdict.sentence
    assert "两者结果不同的行太少（4 行）" in verdict.sentence_zh


def test_one_input():
    verdict = nothing_to_fuse("photo", score_name="accuracy", full=0.9)
    assert verdict.sentence == "There is nothing to fuse: the model sees only 'photo', and its accuracy is 90.0 %."
    assert verdict.sentence_zh == "没有可融合的内容：模型只使用“photo”，其准确率为 90.0 %。"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([("sex", 0.2, (0.1, 0.3)), ("age", 0.1, (-0.1, 0.3))], "It needs 'sex' most: with that column shuffled"),
        ([("sex", 0.2, (-0.1, 0.3))], "There is no column of which it is certain"),
        ([("sex", 0.2, None)], "There is no column of which it is certain"),
    ],
)
def test_a_table_alone_is_told_by_its_columns(columns, said):
    verdict = nothing_to_fuse(
        "table", score_name="accuracy", full=0.9, columns=[ColumnImportance(*column) for column in columns]
    )
    assert said in verdict.sentence
    assert "模型只使用表格" in verdict.sentence_zh


def test_numbers_as_a_person_reads_them():
    assert format_score("accuracy", 0.9951) == "99.5 %"
    assert format_score("rmse", 1234.5678) == "1235"
    assert format_gain("f1_macro", -0.0123, signed=True).english == "-1.2 points"
    assert format_gain("f1_macro", 0.0123).chinese == "1.2 个百分点"
    assert format_gain("accuracy", 0.0004).english == "0.04 points"
    assert format_gain("log_loss", 0.25, signed=True).english == "+0.25"
    assert metric_words("my_metric").chinese == "my_metric"
    assert metric_words("ap_50_RBC").chinese == "AP@0.50（RBC）"
    assert metric_words("iou_{road}").english == "IoU, {road}"
    assert format_score("ap_50_RBC", 0.834) == "83.4 %"
    assert format_score("count_error", 1.25) == "1.25"


Compared = tuple[Task, Prediction, dict[str, Arrays]]


def numbers(outputs: torch.Tensor) -> Prediction:
    return Prediction({"outputs": outputs})


def texts_of(target: Arrays, loss: float) -> Prediction:
    """The targets themselves, each with a ``loss`` of its only token."""
    losses = torch.full((len(target),), loss)
    return Prediction({"ids": target.values, "nll": losses, "num_tokens": losses})


def binary(share: float, *, rows: int, right: float, seed: int = 0) -> Compared:
    """Targets of which ``share`` are "yes", and outputs that find ``right`` of all rows."""
    random = np.random.default_rng(seed)
    target = (np.arange(rows) < share * rows).astype(int)
    said = np.where(random.random(rows) < right, target, 1 - target)
    task = Binary(BinaryConfig())
    task.fit([["no", "yes"][value] for value in target])
    outputs = torch.from_numpy(2.0 * said - 1).unsqueeze(1)
    return task, numbers(outputs), {TARGET: Arrays.whole(torch.from_numpy(target))}


def compare(task: Task, prediction: Prediction, targets: dict[str, Arrays]) -> AgainstConstant | None:
    constant = task.measure_constant(targets)
    measured = Measured(task.measure(prediction, targets), constant, np.arange(len(prediction)))
    return compare_with_constant(measured, always=task.constant_words, seed=0)


def test_a_good_model_beats_the_constant_answer_and_nothing_is_to_be_said_first():
    result = compare(*binary(0.5, rows=200, right=0.9))
    assert result.beaten == "yes"
    assert result.headline == result.headline_zh == ""
    assert result.constant == 0.5
    assert result.gain_interval is not None
    assert result.gain_interval[0] > 0.2


def test_a_high_accuracy_that_the_constant_answer_has_too_is_none():
    task, prediction, targets = binary(0.02, rows=500, right=1.0)
    always_no = numbers(torch.full_like(prediction["outputs"], -1.0))
    assert task.measure(always_no, targets).metrics()["accuracy"] == 0.98
    result = compare(task, always_no, targets)
    assert (result.beaten, result.score_name, result.model, result.constant) == ("no", "balanced_accuracy", 0.5, 0.5)
    assert result.headline == "This model does not beat the constant answer."
    assert result.headline_zh == "该模型并不优于固定答案。"
    assert "balanced accuracy is 50.0 %, that of the constant answer (always the majority class) 50.0 %" in (
        result.sentence
    )


def test_a_gain_that_may_be_chance_is_not_certain():
    task, _, targets = binary(0.5, rows=100, right=1.0)
    outputs = torch.where(torch.arange(100) % 20 == 0, 1.0, -1.0).unsqueeze(1)
    outputs[:4] = 1.0  # a little better than always "no"
    result = compare(task, numbers(outputs), targets)
    assert result.gain > 0
    assert result.beaten == "uncertain"
    assert "the 95 % interval of the gain is " in result.sentence


@pytest.mark.parametrize(("rows", "beaten"), [(29, "too few rows"), (30, "yes")])
def test_below_thirty_rows_no_model_is_judged(rows, beaten):
    result = compare(*binary(0.5, rows=rows, right=1.0))
    assert result.beaten == beaten
    assert ("Only 29 rows" in result.sentence) == (rows == 29)


def test_an_error_is_better_when_smaller_and_numbers_have_a_mean():
    task = Regress(RegressConfig())
    task.fit(np.linspace(-1, 1, 60))
    targets = {TARGET: task.target.collate(np.linspace(-1, 1, 60).tolist())}
    values = targets[TARGET].values
    assert compare(task, numbers(0.9 * values), targets).beaten == "yes"
    worse = compare(task, numbers(-values), targets)
    assert worse.beaten == "no"
    assert "(always the mean) 0" in worse.sentence
    assert "总是预测均值" in worse.sentence_zh


def test_a_text_is_compared_with_the_most_common_one():
    texts = ["red"] * 30 + ["blue"] * 20
    task = AnswerConfig().build()
    task.fit(texts)
    targets = {TARGET: task.target.collate(texts)}
    result = compare(task, texts_of(targets[TARGET], 0.0), targets)
    assert (result.beaten, result.constant) == ("yes", 0.6)
    assert "always the most common text" in result.sentence
    assert compare(task, task.constant(50), targets).beaten == "no"


def test_what_has_no_score_without_a_model_is_not_compared():
    texts = ["red", "blue"] * 20
    task = AnswerConfig(score="perplexity").build()
    task.fit(texts)
    targets = {TARGET: task.target.collate(texts)}
    assert compare(task, texts_of(targets[TARGET], 1.0), targets) is None


def test_it_is_plain_data():
    plain = json.loads(json.dumps(compare(*binary(0.5, rows=60, right=0.9)).to_dict()))
    assert plain["beaten"] == "yes"
    assert len(plain["gain_interval"]) == 2

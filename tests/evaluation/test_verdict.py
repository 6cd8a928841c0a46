from dataclasses import replace

import pytest

from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.verdict import Comparison, judge, nothing_to_fuse
from tonggan.evaluation.wording import format_gain, format_score, metric_words

COMPARISON = Comparison(
    score_name="r2",
    num_rows=1234,
    num_different=300,
    full=0.8,
    best_part="photo",
    best_score=0.75,
    best_trained_alone=True,
    any_trained_alone=True,
    gain=0.05,
    gain_interval=(0.012, 0.081),
)


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
    assert judge(replace(COMPARISON, gain=gain, gain_interval=gain_interval)).fusion_pays == answer


def test_the_whole_sentence():
    verdict = judge(COMPARISON)
    assert verdict.sentence == (
        "Fusion pays: with all inputs R² is 0.8, 0.05 better than the best single input, 'photo' "
        "(0.75, a model trained on it alone); the 95 % interval of the gain on 1,234 rows is +0.012 to +0.081."
    )
    assert verdict.sentence_zh == (
        "融合有效：使用全部输入时R²为 0.8，与最好的单一输入“photo”（0.75，单独训练的模型）相比好 0.05；"
        "在 1,234 行上，增益的 95 % 区间为 +0.012 至 +0.081。"
    )


def test_what_is_not_known_is_said():
    verdict = judge(
        replace(COMPARISON, any_trained_alone=False, best_trained_alone=False, gain_interval=None, gain=0.0)
    )
    assert "the same as the best single input" in verdict.sentence
    assert "the 1,234 rows are not enough for an interval" in verdict.sentence
    assert "No model was trained on one input alone" in verdict.sentence
    assert "相比相同；1,234 行数据不足以给出区间。没有为任何单一输入单独训练模型" in verdict.sentence_zh


def test_a_handful_of_rows_proves_nothing():
    # Four rows better and none worse: the bootstrap's interval lies above zero, the sign test has p = 2 / 2^4.
    verdict = judge(replace(COMPARISON, num_different=4))
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

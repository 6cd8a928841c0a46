import json

import numpy as np
import pytest
import torch

from tonggan.decoders import TARGET
from tonggan.evaluation.audit import Audit, audit
from tonggan.tokens import Prediction

LEFT = np.tile([1.0, 1.0, -1.0, -1.0], 100)
RIGHT = np.tile([1.0, -1.0, 1.0, -1.0], 100)
COLUMNS = {"left": LEFT, "right": RIGHT}


def run(case, **options) -> Audit:
    subsets, found = audit(case.model, case.task, case.dataset, seed=0, batch_size=64, **options)
    assert subsets[-1].score == found.full
    return found


def test_a_model_that_needs_both_inputs(sums):
    result = run(sums(COLUMNS, np.tile([1, 0, 0, 0], 100)))
    assert result.majority == 0.75
    assert result.alone == {"left": 0.75, "right": 0.75}
    assert result.full == 1.0
    assert result.shapley == pytest.approx({"left": 0.125, "right": 0.125})
    # Where the other input is +1 (half of the rows), a foreign value is wrong in half of the cases.
    assert result.shuffled == pytest.approx({"left": 0.75, "right": 0.75}, abs=0.05)
    verdict = result.verdict
    assert verdict.fusion_pays == "yes"
    assert verdict.gain == 0.25
    low, high = verdict.gain_interval
    assert low == pytest.approx(0.25 - 1.96 * (0.25 * 0.75 / 400) ** 0.5, abs=0.01)
    assert high == pytest.approx(0.25 + 1.96 * (0.25 * 0.75 / 400) ** 0.5, abs=0.01)
    assert verdict.sentence.startswith("Fusion pays: with all inputs accuracy is 100.0 %, 25.0 points better than")
    assert "on 400 rows" in verdict.sentence
    assert verdict.sentence_zh.startswith("融合有效：")


def test_a_model_that_does_not_beat_its_best_part_says_so(sums):
    result = run(sums(COLUMNS, np.tile([1, 1, 0, 0], 100)))
    assert result.alone == {"left": 1.0, "right": 0.5}
    assert result.verdict.fusion_pays == "no"
    assert result.verdict.best_part == "left"
    assert result.verdict.gain == -0.25
    assert "does not beat its best part" in result.verdict.sentence
    assert "25.0 points worse than the best single input, 'left'" in result.verdict.sentence
    assert "融合模型没有超过其最好的单一输入" in result.verdict.sentence_zh


def test_a_model_trained_on_one_input_alone_is_the_part_to_beat(sums):
    case = sums(COLUMNS, np.tile([1, 0, 0, 0], 100))
    specialist = torch.where(case.targets[TARGET].values > 0, 1.0, -1.0).unsqueeze(1)
    specialist[0] = -1.0  # one row wrong
    result = run(case, alone_trained={"left": case.task.measure(Prediction({"outputs": specialist}), case.targets)})
    assert result.alone_trained == {"left": 399 / 400}
    assert result.verdict.best_trained_alone
    assert result.verdict.fusion_pays == "uncertain"
    assert result.verdict.gain_interval[0] == 0
    assert "Whether fusion pays is not certain" in result.verdict.sentence
    assert "specialist" not in result.verdict.sentence
    assert "尚不能确定" in result.verdict.sentence_zh


def test_one_input_has_nothing_to_fuse(sums):
    result = run(sums({"left": LEFT}, np.tile([1, 1, 0, 0], 100)))
    assert result.verdict.fusion_pays == "nothing to fuse"
    # It is a table, of one column.
    assert "It needs 'left' most: with that column shuffled, accuracy is" in result.verdict.sentence
    assert "最重要的列是“left”" in result.verdict.sentence_zh
    assert result.to_dict()["columns"]["left"]["left"]["importance"] == pytest.approx(0.5, abs=0.05)
    assert result.shuffled == {}
    assert result.shapley == {"left": 0.5}


def test_same_seed_same_numbers_and_plain_data(sums):
    case = sums(COLUMNS, np.tile([1, 0, 0, 0], 100))
    first, second = run(case).to_dict(), run(case).to_dict()
    assert first == second
    assert json.loads(json.dumps(first))["verdict"]["fusion_pays"] == "yes"


def test_below_thirty_rows_there_is_no_verdict(sums):
    few = {name: values[:28] for name, values in COLUMNS.items()}
    result = run(sums(few, np.tile([1, 0, 0, 0], 7)))
    assert result.verdict.fusion_pays == "too few rows"
    assert "too few to say whether fusion pays" in result.verdict.sentence
    alone = run(sums({"left": few["left"]}, np.tile([1, 1, 0, 0], 7)))
    assert alone.verdict.fusion_pays == "too few rows"

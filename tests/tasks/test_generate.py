import math
import sys

import jiwer
import pytest
import sacrebleu
import torch

from contracts import check_task
from tonggan.errors import DataError, MissingExtraError
from tonggan.tasks import AnswerConfig, CaptionConfig, ChatConfig, TranscribeConfig, TranslateConfig

TEXTS = ["three five seven", "nine", "三五七", "a cat on the mat", "three five seven"]
CONFIGS = [AnswerConfig(), CaptionConfig(), ChatConfig(), TranscribeConfig(), TranslateConfig()]


def fitted(config):
    task = config.build()
    task.fit(iter(TEXTS))
    return task


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_contract(config):
    task = config.build()

    def perfect(target):
        return task.text.outputs(target, losses=torch.ones(len(target), 2))

    check_task(task, TEXTS, perfect=perfect, of_all_rows=["cider"])


def test_targets_end_and_come_back_as_texts():
    task = fitted(CaptionConfig())
    target = task.encode([" three five seven ", "nine"])
    lengths = (target >= 0).sum(dim=1)
    assert [row[length - 1] for row, length in zip(target.tolist(), lengths.tolist(), strict=True)] == [
        task.tokenizer.ends[0]
    ] * 2
    assert [task.describe_target(row) for row in target] == ["three five seven", "nine"]
    assert target.shape[1] == task.max_tokens == task.text.max_tokens


def test_text_behind_the_end_is_not_read():
    task = fitted(CaptionConfig())
    nine, cat = task.tokenizer.encode("nine"), task.tokenizer.encode(" cat")
    ids = torch.tensor([[*nine, task.tokenizer.ends[0], *cat]])[:, : task.max_tokens]
    assert task.decode(task.text.outputs(ids)) == ["nine"]


def test_long_texts_are_cut_in_training():
    task = fitted(CaptionConfig(max_tokens=2))
    assert task.encode(["a cat on the mat"]).shape == (1, 2)


def test_numbers_of_the_reference_packages():
    task = fitted(TranscribeConfig())
    target = task.encode(TEXTS)
    outputs = task.text.outputs(target.roll(1, dims=0))
    hypotheses = task.decode(outputs)
    assert hypotheses == TEXTS[-1:] + TEXTS[:-1]
    metrics = task.measure(outputs, target).metrics()
    assert metrics["wer"] == pytest.approx(jiwer.wer(TEXTS, hypotheses))
    assert metrics["chrf"] == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [TEXTS]).score)
    assert "perplexity" not in metrics, "without the model's probabilities there is none"


def test_the_score_may_be_a_perplexity():
    task = fitted(AnswerConfig(score="perplexity"))
    target = task.encode(TEXTS)
    measure = task.measure(task.text.outputs(target, losses=torch.tensor([[2.0, 2.0]] * 5)), target)
    assert not measure.greater_is_better
    assert measure.score() == pytest.approx(math.e)
    assert task.measure_constant(task.baseline(target, 1), target).score() == math.inf


def test_baseline_is_the_most_frequent_text():
    task = fitted(AnswerConfig())
    assert task.decode(task.baseline(task.encode(TEXTS), 2)) == ["three five seven"] * 2


def test_lower_is_better_for_errors():
    assert not TranscribeConfig().build().greater_is_better
    assert CaptionConfig().build().greater_is_better


def test_rows_without_a_text_are_named():
    task = fitted(CaptionConfig())
    with pytest.raises(DataError, match=r"no text in 1 rows \(counted from 1: 2\)"):
        task.encode(["nine", None])
    with pytest.raises(DataError, match="no text in any row"):
        CaptionConfig().build().fit([None, None])


def test_a_package_that_measuring_needs_is_missed_before_any_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[language\]'"):
        AnswerConfig().build().fit(TEXTS)

import math
import sys

import jiwer
import pytest
import sacrebleu
import torch

from contracts import check_task
from tonggan.decoders import TARGET, CTCHeadConfig
from tonggan.errors import DataError, MissingExtraError
from tonggan.tasks import AnswerConfig, CaptionConfig, ChatConfig, TranscribeConfig, TranslateConfig
from tonggan.tokens import Prediction

TEXTS = ["three five seven", "nine", "三五七", "a cat on the mat", "three five seven"]
CONFIGS = [AnswerConfig(), CaptionConfig(), ChatConfig(), TranscribeConfig(), TranslateConfig()]


def fitted(config):
    task = config.build()
    task.fit(iter(TEXTS))
    return task


def targets_of(task, texts):
    return {TARGET: task.target.collate(texts)}


def written(target):
    """What is predicted by whoever writes these targets, each token with a probability of 1/e."""
    lengths = target.mask.sum(dim=1).float()
    return Prediction({"ids": target.values, "nll": lengths, "num_tokens": lengths})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_contract(config):
    check_task(config.build(), TEXTS, perfect=written, head=CTCHeadConfig(), of_all_rows=["cider"])


def test_targets_end_and_come_back_as_texts():
    task = fitted(CaptionConfig())
    targets = targets_of(task, [" three five seven ", "nine"])
    target = targets[TARGET].values
    lengths = targets[TARGET].mask.sum(dim=1)
    assert torch.equal(target >= 0, targets[TARGET].mask)
    assert [row[length - 1] for row, length in zip(target.tolist(), lengths.tolist(), strict=True)] == [
        task.tokenizer.ends[0]
    ] * 2
    assert task.describe_targets(targets) == ["three five seven", "nine"]
    assert target.shape[1] == task.max_tokens == task.answer.max_tokens


def test_text_behind_the_end_is_not_read():
    task = fitted(CaptionConfig())
    nine, cat = task.tokenizer.encode("nine"), task.tokenizer.encode(" cat")
    ids = torch.tensor([[*nine, task.tokenizer.ends[0], *cat]])[:, : task.max_tokens]
    assert task.decode(Prediction({"ids": ids})) == ["nine"]


def test_long_texts_are_cut_in_training():
    task = fitted(CaptionConfig(max_tokens=2))
    assert task.target.collate(["a cat on the mat"]).values.shape == (1, 2)


def test_numbers_of_the_reference_packages():
    task = fitted(TranscribeConfig())
    targets = targets_of(task, TEXTS)
    outputs = Prediction({"ids": targets[TARGET].values.roll(1, dims=0)})
    hypotheses = task.decode(outputs)
    assert hypotheses == TEXTS[-1:] + TEXTS[:-1]
    metrics = task.measure(outputs, targets).metrics()
    assert metrics["wer"] == pytest.approx(jiwer.wer(TEXTS, hypotheses))
    assert metrics["chrf"] == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [TEXTS]).score)
    assert "perplexity" not in metrics, "without the model's probabilities there is none"


def test_the_score_may_be_a_perplexity():
    task = fitted(AnswerConfig(score="perplexity"))
    targets = targets_of(task, TEXTS)
    losses = {"nll": torch.full((5,), 2.0), "num_tokens": torch.full((5,), 2.0)}
    measure = task.measure(Prediction({"ids": targets[TARGET].values, **losses}), targets)
    assert not measure.greater_is_better
    assert measure.score() == pytest.approx(math.e)
    assert task.measure_constant(targets).score() == math.inf


def test_the_constant_answer_is_the_most_frequent_text():
    task = fitted(AnswerConfig())
    assert task.decode(task.constant(2)) == ["three five seven"] * 2


def test_lower_is_better_for_errors():
    assert not TranscribeConfig().build().greater_is_better
    assert CaptionConfig().build().greater_is_better


def test_rows_without_a_text_are_named():
    task = fitted(CaptionConfig())
    with pytest.raises(DataError, match=r"no text in 1 rows \(counted from 1: 2\)"):
        task.target.collate(["nine", None])
    with pytest.raises(DataError, match="no text in any row"):
        CaptionConfig().build().fit([None, None])


def test_a_package_that_measuring_needs_is_missed_before_any_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[language\]'"):
        AnswerConfig().build().fit(TEXTS)

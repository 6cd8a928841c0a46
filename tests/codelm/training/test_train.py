"""A run trains, measures, and uses what is better; stopped, it goes on as if it had not been."""

import json
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from code_training_scene import UNUSED, base_folder, small_corpus
from tonggan.codelm.training import train as training
from tonggan.codelm.training.adapters import AdapterRegistry, open_code_model
from tonggan.codelm.training.config import CodeTrainingConfig
from tonggan.codelm.training.evaluate import Scores, Verdict
from tonggan.codelm.training.train import train_code_model
from tonggan.errors import ConfigError, InterruptedRunError, TrainingError
from tonggan.language.infill import InfillTokens
from tonggan.language.prompt import Prompt
from training_scene import before_step

TINY = CodeTrainingConfig(
    length=128, batch_tokens=512, lines=2, rank=2, precision="fp32", hidden_size=32, num_layers=1, learning_rate=5e-3
)

LONGER = TINY.model_copy(update={"rank": 8, "learning_rate": 2e-2, "epochs": 4})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return base_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, base):
    return small_corpus(tmp_path_factory.mktemp("corpus"), base=base)


def verdict(*, better: bool) -> Verdict:
    good, bad = Scores(0.5, 0.8, 2.0), Scores(0.4, 0.7, 3.0)
    before, after = (bad, good) if better else (good, bad)
    return Verdict("base", before, after, 100, (0.01, 0.1) if better else (-0.1, -0.01))


def test_an_adapter_is_measured_and_used_only_if_it_is_better(base, corpus, tmp_path):
    done = train_code_model(corpus, base=str(base), run=tmp_path, config=TINY)
    registry = AdapterRegistry(tmp_path)
    manifest = registry.manifest("first")
    assert manifest.sentinels == UNUSED
    assert manifest.base_sha256 and manifest.training["steps"] > 2  # noqa: PT018
    assert done.verdict.lines == 2
    assert manifest.verdict == json.loads(json.dumps(done.verdict.to_dict()))
    assert done.is_promoted == done.verdict.is_better
    assert registry.promoted == ("first" if done.is_promoted else None)
    assert not list(tmp_path.glob("*.training/*.safetensors"))


def test_a_time_limit_that_is_over_at_once_leaves_an_adapter_that_is_not_used(base, corpus, tmp_path):
    done = train_code_model(
        corpus, base=str(base), run=tmp_path, config=TINY.model_copy(update={"lines": 200}), time_limit=0.01
    )
    assert done.manifest.training["steps"] <= 1
    assert done.verdict.lines == 1, "one line is compared in any case"
    assert done.verdict.decision == "undecided"
    assert not done.is_promoted


@pytest.mark.parametrize("better", [True, False])
def test_the_model_of_a_run_is_the_adapter_or_the_base(base, corpus, tmp_path, monkeypatch, better):
    monkeypatch.setattr(training, "compare", lambda *_, **__: verdict(better=better))
    done = train_code_model(corpus, base=str(base), run=tmp_path, name="mine", config=LONGER)
    assert done.is_promoted == better
    model, infill = open_code_model(str(tmp_path), engine="torch")
    plain, none = open_code_model(str(base), engine="torch")
    assert none is None
    prompt = Prompt((torch.tensor(plain.tokenizer.encode("def forward(self, values: Tensor)")),))
    losses = [-np.mean(each.log_probabilities(prompt)) for each in (model, plain)]
    if better:
        assert infill == InfillTokens.of(plain.tokenizer, names=UNUSED)
        assert losses[0] < losses[1] - 0.3  # it has read such code
    else:
        assert infill is None
        assert losses[0] == losses[1]
    with pytest.raises(ConfigError, match="adapter 'mine', which is there already"):
        train_code_model(corpus, base=str(base), run=tmp_path, name="mine", config=TINY)
    with pytest.raises(ConfigError, match="Choose another --out for another base"):
        train_code_model(corpus, base="scratch", run=tmp_path, name="other", config=TINY)


def test_a_first_model_from_scratch_has_nothing_to_beat(corpus, tmp_path):
    done = train_code_model(corpus, base="scratch", run=tmp_path, config=TINY)
    assert done.verdict is None
    assert AdapterRegistry(tmp_path).promoted == "first"
    model, infill = open_code_model(str(tmp_path), engine="torch")
    assert model.tokenizer.size == corpus.tokenizer.size
    assert infill is not None
    assert model.engine.dim == 32


def test_an_interrupted_training_goes_on_to_the_same_weights(base, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "compare", lambda *_, **__: verdict(better=False))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_code_model(corpus, base=str(base), run=whole, config=TINY)
    with monkeypatch.context() as patch:
        before_step(patch, 1, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(InterruptedRunError, match="at step 2 of"):
            train_code_model(corpus, base=str(base), run=parts, config=TINY)
    with pytest.raises(TrainingError, match=r"a run with other seed, corpus, settings.*Choose another folder or name"):
        train_code_model(corpus, base=str(base), run=parts, config=TINY.model_copy(update={"seed": 1}))
    with monkeypatch.context() as patch:
        patch.setattr("tonggan.language.pretrained.Pretrained.sha256", "other weights")
        with pytest.raises(TrainingError, match="a run with other base"):
            train_code_model(corpus, base=str(base), run=parts, config=TINY)
    train_code_model(corpus, base=str(base), run=parts, config=TINY)
    one, other = (load_file(run / "adapters" / "first" / "weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_memory_that_is_too_little_is_refused_before_anything_is_trained(base, corpus, tmp_path):
    with pytest.raises(
        ConfigError, match=r"memory of the training: got 1 MB, expected about .* for a row of 128 tokens"
    ):
        train_code_model(corpus, base=str(base), run=tmp_path, config=TINY, max_memory=1_000_000)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(base, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(training._Student, "learn", None)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="Not a directory"):
        train_code_model(corpus, base=str(base), run=tmp_path / "file" / "run", config=TINY)


def test_a_vocabulary_without_spare_tokens_is_not_taught_to_fill_in(corpus, tmp_path):
    from pretrained_scene import pretrained_folder

    plain = pretrained_folder(tmp_path / "plain")
    student = training._Student(str(plain), corpus, TINY, training.Progress())
    assert student.infill is None
    assert student.packer.fill is None

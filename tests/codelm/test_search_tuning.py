import signal

import numpy as np
import pytest
import torch

from embedder_scene import tiny_embedder
from tonggan.codelm import search_tuning
from tonggan.codelm.search_pairs import Pair
from tonggan.codelm.search_tuning import PairMeasure, SearchTuningConfig, mean_reciprocal_rank, tune
from tonggan.errors import DataError, TrainingError
from tonggan.training import TrainingConfig
from training_scene import before_step

VERBS = ["read", "write", "sort", "count", "merge", "split", "find", "send", "open", "close"]
NOUNS = ["file", "row", "date", "user", "price", "word", "page", "key", "line", "mail", "tree", "node"]
FAST = SearchTuningConfig(
    time_limit=None, epochs=20, batch_size=16, learning_rate=3e-3, held_out=0.2, num_validations=3, blend=1.0
)


@pytest.fixture
def pairs():
    """Code says the same as its question, in words of its own: nothing but training tells which is which."""
    generator = np.random.default_rng(0)
    rows = [(verb, noun) for verb in range(len(VERBS)) for noun in range(len(NOUNS))]
    return [
        Pair(f"{VERBS[verb]} the {NOUNS[noun]}", f"def f{verb}(a{noun})", f"f{verb}_{noun}", f"package/{index % 20}.py")
        for index, (verb, noun) in enumerate(rows[row] for row in generator.permutation(len(rows)))
    ]


@pytest.fixture
def embedder(pairs):
    return tiny_embedder([text for pair in pairs for text in pair[:2]])


def test_training_finds_code_of_unseen_files(embedder, pairs, tmp_path):
    before = embedder.embed(["read the file"])
    tuned = tune(embedder, pairs, folder=tmp_path / "tuning", config=FAST)
    assert (tuned.num_pairs, tuned.num_held_out, tuned.num_steps) == (72, 24, 80)
    assert tuned.is_better
    assert tuned.after > 2 * tuned.before
    assert tuned.embedder.identity != embedder.identity
    np.testing.assert_array_equal(embedder.embed(["read the file"]), before)


def test_weights_are_kept_between_the_given_and_the_learned_ones(embedder, pairs, tmp_path):
    once = FAST.model_copy(update={"num_validations": 1})
    whole, part = (
        tune(embedder, pairs, folder=tmp_path / "tuning", config=once.model_copy(update={"blend": blend}))
        for blend in (1.0, 0.75)
    )
    assert part.is_better
    given, learned, kept = (each.encoder.state_dict() for each in (embedder, whole.embedder, part.embedder))
    name = "encoder.layer.0.output.dense.weight"
    torch.testing.assert_close(kept[name], torch.lerp(given[name], learned[name], 0.75), atol=1e-5, rtol=1e-4)


def test_what_is_not_better_is_not_kept(embedder, pairs, tmp_path):
    config = FAST.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    tuned = tune(embedder, pairs, folder=tmp_path / "tuning", config=config)
    assert not tuned.is_better
    assert tuned.embedder is embedder


def test_a_time_limit_and_a_request_to_stop_end_it(embedder, pairs, tmp_path, monkeypatch):
    short = FAST.model_copy(update={"time_limit": 0.01})
    assert tune(embedder, pairs, folder=tmp_path / "tuning", config=short).num_steps < 80
    before_step(monkeypatch, 60, lambda: signal.raise_signal(signal.SIGINT))
    tuned = tune(embedder, pairs, folder=tmp_path / "tuning", config=FAST)
    assert tuned.is_interrupted
    assert tuned.num_steps == 61
    assert tuned.is_better
    assert not (tmp_path / "tuning").exists()


def test_a_killed_tuning_goes_on_to_the_same_weights(embedder, pairs, tmp_path, monkeypatch):
    straight = tune(embedder, pairs, folder=tmp_path / "straight", config=FAST)

    def fail():
        raise MemoryError

    eager = {"checkpoint_every": 0.0}
    monkeypatch.setattr(search_tuning, "TrainingConfig", lambda **fields: TrainingConfig(**fields, **eager))
    with monkeypatch.context() as patch:
        before_step(patch, 50, fail)
        with pytest.raises(MemoryError):
            tune(embedder, pairs, folder=tmp_path / "tuning", config=FAST)
    with pytest.raises(TrainingError, match="a run with other seed"):
        tune(embedder, pairs, folder=tmp_path / "tuning", config=FAST.model_copy(update={"seed": 1}))
    resumed = tune(embedder, pairs, folder=tmp_path / "tuning", config=FAST)
    assert resumed.num_steps == 80
    assert resumed.embedder.identity == straight.embedder.identity


def test_a_pair_counts_as_often_as_it_is_drawn(embedder):
    generator = np.random.default_rng(0)
    rows = {name: generator.normal(size=(12, 4)) for name in ("question", "code")}
    counts = generator.integers(0, 3, 12)
    measure, drawn = (
        PairMeasure({name: values[places] for name, values in rows.items()}, "mrr", True)
        for places in (np.arange(12), np.repeat(np.arange(12), counts))
    )
    assert measure.score(counts.astype(float)) == pytest.approx(drawn.score())
    assert measure.worst(3).tolist() == np.argsort(-measure.badness(), kind="stable")[:3].tolist()


def test_mean_reciprocal_rank_worked_by_hand(embedder):
    class Fixed:
        def embed(self, texts):
            return np.array([[float(part) for part in text.split()] for text in texts])

    # The right code is first, second (of 0.8 and 0.6) and third (of 1, 0.6 and 0).
    pairs = [Pair("1 0", "1 0", "", ""), Pair("0 1", "0.8 0.6", "", ""), Pair("1 0", "0 0.8", "", "")]
    assert mean_reciprocal_rank(Fixed(), pairs) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_too_few_pairs_are_said(embedder, pairs, tmp_path):
    with pytest.raises(DataError, match="got 50 functions with a docstring in 20 files, expected at least 100 in 10"):
        tune(embedder, pairs[:50], folder=tmp_path / "tuning", config=FAST)


def test_no_package_is_in_two_parts(pairs):
    packages = [pair._replace(path=f"site/package{index % 25}/{index}.py") for index, pair in enumerate(pairs)]
    parts = search_tuning._split(packages, FAST)
    names = [{pair.path.split("/")[1] for pair in part} for part in parts]
    assert sum(len(part) for part in names) == len(set.union(*names)) == 25
    assert sum(len(part) for part in parts) == 120

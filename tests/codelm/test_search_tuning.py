import numpy as np
import pytest
import torch

from embedder_scene import tiny_embedder
from tonggan.codelm import search_tuning
from tonggan.codelm.search_pairs import Pair
from tonggan.codelm.search_tuning import SearchTuningConfig, mean_reciprocal_rank, tune
from tonggan.errors import DataError

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


def test_training_finds_code_of_unseen_files(embedder, pairs):
    before = embedder.embed(["read the file"])
    tuned = tune(embedder, pairs, config=FAST)
    assert (tuned.num_pairs, tuned.num_held_out, tuned.num_steps) == (72, 24, 90)
    assert tuned.is_better
    assert tuned.after > 2 * tuned.before
    assert tuned.embedder.version != embedder.version
    np.testing.assert_array_equal(embedder.embed(["read the file"]), before)


def test_weights_are_kept_between_the_given_and_the_learned_ones(embedder, pairs):
    whole, part = (tune(embedder, pairs, config=FAST.model_copy(update={"blend": blend})) for blend in (1.0, 0.75))
    assert part.is_better
    given, learned, kept = (each.encoder.state_dict() for each in (embedder, whole.embedder, part.embedder))
    name = "encoder.layer.0.output.dense.weight"
    torch.testing.assert_close(kept[name], torch.lerp(given[name], learned[name], 0.75), atol=1e-5, rtol=1e-4)


def test_what_is_not_better_is_not_kept(embedder, pairs):
    tuned = tune(embedder, pairs, config=FAST.model_copy(update={"epochs": 0.5, "learning_rate": 1e-12}))
    assert not tuned.is_better
    assert tuned.embedder is embedder


def test_a_time_limit_and_a_request_to_stop_end_it(embedder, pairs, monkeypatch):
    assert tune(embedder, pairs, config=FAST.model_copy(update={"time_limit": 0.01})).num_steps < 90

    class Stop:
        received = True

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(search_tuning, "stop_request", Stop)
    tuned = tune(embedder, pairs, config=FAST)
    assert tuned.is_interrupted
    assert tuned.num_steps == 0
    assert tuned.embedder is embedder


def test_mean_reciprocal_rank_worked_by_hand(embedder):
    class Fixed:
        def embed(self, texts):
            return np.array([[float(part) for part in text.split()] for text in texts])

    # The right code is first, second (of 0.8 and 0.6) and third (of 1, 0.6 and 0).
    pairs = [Pair("1 0", "1 0", "", ""), Pair("0 1", "0.8 0.6", "", ""), Pair("1 0", "0 0.8", "", "")]
    assert mean_reciprocal_rank(Fixed(), pairs) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_too_few_pairs_are_said(embedder, pairs):
    with pytest.raises(DataError, match="got 50 functions with a docstring in 20 files, expected at least 100 in 10"):
        tune(embedder, pairs[:50], config=FAST)


def test_no_package_is_in_two_parts(pairs):
    packages = [pair._replace(path=f"site/package{index % 25}/{index}.py") for index, pair in enumerate(pairs)]
    parts = search_tuning._split(packages, FAST)
    names = [{pair.path.split("/")[1] for pair in part} for part in parts]
    assert sum(len(part) for part in names) == len(set.union(*names)) == 25
    assert sum(len(part) for part in parts) == 120

import numpy as np
import pytest

from tonggan.encoders.word2vec import SkipGramConfig, learn_vectors, read_vectors, write_vectors
from tonggan.errors import DataError


def corpus(num_texts=300):
    """Texts of words of one of two topics, words 0 to 9 or 10 to 19, the last words rare."""
    random = np.random.default_rng(0)
    topics = random.integers(0, 2, num_texts)
    texts = [10 * topic + random.integers(0, 10, 12) for topic in topics]
    return np.concatenate(texts).astype(np.int32), np.arange(num_texts + 1) * 12


@pytest.mark.parametrize("compiled", [None, False])
def test_topics_fall_apart(compiled):
    words, starts = corpus()
    config = SkipGramConfig(vector_size=10, subsample=0, skip_gram_epochs=3)
    epochs = []
    found = learn_vectors(words, starts, num_words=21, config=config, seed=0, compiled=compiled, tell=epochs.append)
    assert found.shape == (21, 10)
    assert (found[20] == 0).all()
    assert epochs == [1, 2, 3]
    unit = found[:20] / np.linalg.norm(found[:20], axis=1, keepdims=True)
    likeness = unit @ unit.T
    within = (likeness[:10, :10].mean() + likeness[10:, 10:].mean()) / 2
    assert within > likeness[:10, 10:].mean() + 0.3


def test_the_same_seed_gives_the_same_vectors():
    words, starts = corpus(50)
    one, same, other = (
        learn_vectors(words, starts, num_words=20, config=SkipGramConfig(vector_size=8), seed=seed)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_one_pair_by_hand():
    """Of two words that each predict the other, with nothing else to draw, both outputs begin at zero."""
    config = SkipGramConfig(vector_size=2, window=1, negatives=1, subsample=0, skip_gram_epochs=1)
    words, starts = np.array([0, 0], np.int32), np.array([0, 2])
    found = learn_vectors(words, starts, num_words=1, config=config, seed=0)
    start = np.random.default_rng(0).uniform(-1, 1, (1, 2)) / 2
    # The first pair changes the output by half the rate times the input, the second the input by as much of that.
    output = 0.5 * 0.025 * start
    truth = 1 / (1 + np.exp(-(start * output).sum()))
    np.testing.assert_allclose(found, start + (1 - truth) * 0.025 * output, rtol=1e-3)


def test_no_words():
    with pytest.raises(DataError, match="texts without a word"):
        learn_vectors(np.empty(0, np.int32), np.array([0, 0]), num_words=3, config=SkipGramConfig(), seed=0)


def test_files_read_as_written(tmp_path):
    vectors = {"cat": np.array([0.5, -1.25], np.float32), "猫": np.array([1e-7, 3], np.float32)}
    write_vectors(tmp_path / "vectors.txt", vectors)
    assert (tmp_path / "vectors.txt").read_text(encoding="utf-8") == "2 2\ncat 0.5 -1.25\n猫 1e-07 3\n"
    found = read_vectors(tmp_path / "vectors.txt")
    assert list(found) == ["cat", "猫"]
    np.testing.assert_array_equal(np.stack(list(found.values())), np.stack(list(vectors.values())))
    assert list(read_vectors(tmp_path / "vectors.txt", wanted=["猫", "dog"])) == ["猫"]


@pytest.mark.parametrize("text", ["2 2\ncat 1 2 3\n", "cat 1 2\ndog 1\n", "2 2\ncat 1 x\n", "2 2\ncat 1 nan\n"])
def test_damaged_files(text, tmp_path):
    (tmp_path / "vectors.txt").write_text(text)
    with pytest.raises(DataError, match=r"line 2.*expected a word and 2 numbers"):
        read_vectors(tmp_path / "vectors.txt")


def test_without_the_first_line(tmp_path):
    (tmp_path / "glove.txt").write_text("cat 1 2\ndog 3 4\n")
    assert list(read_vectors(tmp_path / "glove.txt")) == ["cat", "dog"]

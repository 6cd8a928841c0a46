import numpy as np
import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.text_word2vec import TextWord2VecConfig
from tonggan.encoders.word2vec import write_vectors
from tonggan.errors import ConfigError, DataError
from tonggan.modalities.text import Text, TextConfig

TEXTS = ["the cat sat on the mat", "the dog sat on the mat", "猫坐在垫子上", "a dog, a cat", None]


@pytest.fixture(scope="module")
def text() -> Text:
    text = Text(TextWord2VecConfig().prepare(TextConfig(min_frequency=1)))
    text.fit(TEXTS)
    return text


@pytest.mark.parametrize("settings", [{}, {"tune": "frozen", "vector_size": 12}])
def test_contract(settings, text):
    check_encoder(TextWord2VecConfig(**settings), lambda config: config.build(text, dim=8), text.collate(TEXTS), dim=8)


def test_words_that_stand_alike_become_alike(text):
    generator = np.random.default_rng(0)
    nouns, verbs = ["cat", "dog", "cow"], ["sat", "ran", "ate"]
    texts = [f"the {generator.choice(nouns)} {generator.choice(verbs)} on the mat" for _ in range(500)]
    words = Text(TextWord2VecConfig().prepare(TextConfig()))
    words.fit(texts)
    config = TextWord2VecConfig(vector_size=16, subsample=0)
    encoder = config.build(words, dim=8)
    encoder.adapt(words.collate(texts))
    vectors = torch.nn.functional.normalize(encoder.embedding.weight.detach(), dim=1)
    numbers = {word: 2 + number for number, word in enumerate(words.vocabulary)}
    alike = vectors[numbers["cat"]] @ vectors[numbers["dog"]]
    assert alike > vectors[numbers["cat"]] @ vectors[numbers["ate"]]
    again = config.build(words, dim=8)
    again.adapt(words.collate(texts))
    assert torch.equal(again.embedding.weight, encoder.embedding.weight)


def test_vectors_of_a_file(text, tmp_path):
    path = tmp_path / "vectors.txt"
    write_vectors(path, {"cat": np.full(4, 0.25, np.float32), "zebra": np.ones(4, np.float32)})
    encoder = TextWord2VecConfig(vectors=str(path), vector_size=4).build(text, dim=8)
    encoder.adapt(text.collate(TEXTS))
    vectors = dict(zip(text.vocabulary, encoder.embedding.weight[2:].tolist(), strict=True))
    assert vectors["cat"] == [0.25] * 4
    assert vectors["dog"] == [0.0] * 4


def test_files_that_do_not_fit(text, tmp_path):
    write_vectors(tmp_path / "wide.txt", {"cat": np.ones(5, np.float32)})
    write_vectors(tmp_path / "other.txt", {"zebra": np.ones(4, np.float32)})
    for name, error, said in (
        ("wide.txt", DataError, "Set vector_size to 5"),
        ("other.txt", DataError, "none of the column's words"),
        ("none.txt", ConfigError, "no file"),
    ):
        encoder = TextWord2VecConfig(vectors=str(tmp_path / name), vector_size=4).build(text, dim=8)
        with pytest.raises(error, match=said):
            encoder.adapt(text.collate(TEXTS))


def test_texts_of_rare_words_alone():
    text = Text(TextWord2VecConfig().prepare(TextConfig(min_frequency=5)))
    text.fit(TEXTS)
    encoder = TextWord2VecConfig().build(text, dim=8)
    encoder.adapt(text.collate(TEXTS))
    assert encoder(text.collate(TEXTS)).present.tolist() == [True, True, True, True, False]

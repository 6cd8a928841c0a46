import numpy as np
import pytest

from tonggan.modalities import TextConfig
from tonggan.models.text_embedder import TextEmbedder
from tonggan.space.features import FeatureReader, Features, TokenSets
from tonggan.weights import CATALOGUE


def test_sets_stand_side_by_side_whatever_their_length():
    sets = [np.ones((2, 3)), np.zeros((0, 0)), np.full((1, 3), 2.0)]
    found = TokenSets.of(sets)
    assert found.values.shape == (3, 2, 3)
    assert found.mask.tolist() == [[True, True], [False, False], [True, False]]
    longer = TokenSets.cat([found, TokenSets.of([np.full((4, 3), 3.0)])])
    assert longer.mask.sum(axis=1).tolist() == [2, 0, 1, 4]
    np.testing.assert_array_equal(longer.take(np.array([2])).tokens().mean().numpy(), [[2, 2, 2]])


def test_a_vector_is_the_one_token_of_a_row():
    features = Features(np.eye(2, dtype=np.float32), np.array([True, False]), np.arange(2))
    tokens = features.as_tokens()
    assert tokens.values.shape == (2, 1, 2)
    assert tokens.mask.tolist() == [[True], [False]]
    assert Features.cat([features, features]).sets is None


@pytest.mark.skipif(not CATALOGUE["minilm"].is_installed, reason="the weights minilm are not installed")
def test_tokens_are_read_once_and_kept(tmp_path, monkeypatch):
    modalities = {"name": TextConfig().build()}

    def read() -> Features:
        return FeatureReader(modalities, {"text": "minilm"}, cache=tmp_path, reads_sets=True).read("name", texts)

    texts = ["dark red", "", None, "word " * 50]
    first = read()
    assert first.sets is not None
    assert first.sets.mask.sum(axis=1).tolist() == [2, 0, 0, 32]  # of a long text the first
    wanted = TextEmbedder.load("minilm", precision="fp32").embed_tokens(["dark red"])[0]
    np.testing.assert_allclose(first.sets.values[0, :2], wanted, atol=1e-3)
    monkeypatch.setattr(TextEmbedder, "embed_tokens", None)
    np.testing.assert_array_equal(read().sets.values, first.sets.values)

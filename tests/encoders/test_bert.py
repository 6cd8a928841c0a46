import sys

import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.bert import BertConfig
from tonggan.encoders.int8_bert import Int8Bert
from tonggan.errors import ConfigError, MissingExtraError
from tonggan.tokens import Arrays

SMALL = BertConfig(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=20,
)


@pytest.fixture
def arrays():
    ids = torch.randint(50, (4, 9), generator=torch.Generator().manual_seed(0))
    return Arrays(ids, torch.arange(9) < torch.tensor([[9], [4], [1], [0]]))


def test_contract(arrays):
    check_encoder(SMALL, lambda config: config.build(), arrays, dim=16)


def test_equals_transformers(arrays):
    library = pytest.importorskip("transformers", reason="transformers is the reference")
    torch.manual_seed(0)
    reference = library.BertModel(library.BertConfig(**SMALL.to_dict()), add_pooling_layer=False).eval()
    encoder = BertConfig.from_hugging_face(reference.config.to_dict()).build()
    encoder.load_state_dict(reference.state_dict())
    arrays = arrays.take(torch.tensor([0, 1, 2]))
    with torch.no_grad():
        expected = reference(arrays.values, attention_mask=arrays.mask.long()).last_hidden_state
        actual = encoder(arrays).values
    torch.testing.assert_close(actual[arrays.mask], expected[arrays.mask], rtol=1e-4, atol=1e-5)


def test_another_architecture_is_refused():
    with pytest.raises(ConfigError, match="got model_type='gpt2' with absolute positions, expected model_type 'b"):
        BertConfig.from_hugging_face({"model_type": "gpt2"})
    with pytest.raises(ConfigError, match="no position is left of 2 from 2 on"):
        BertConfig.from_hugging_face({"model_type": "roberta", "max_position_embeddings": 2})
    with pytest.raises(ConfigError, match="relative_key positions"):
        BertConfig.from_hugging_face({"model_type": "bert", "position_embedding_type": "relative_key"})
    with pytest.raises(ConfigError, match="hidden_act"):
        BertConfig.from_hugging_face({"model_type": "bert", "hidden_act": "relu"})
    with pytest.raises(ConfigError, match="hidden_size 16 is not a multiple of 3 heads"):
        BertConfig.from_hugging_face({"model_type": "bert", "hidden_size": 16, "num_attention_heads": 3})


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return BertConfig(vocab_size=50, hidden_size=64, intermediate_size=128, num_attention_heads=2).build().eval()


def test_is_near_the_encoder_and_leaves_it_as_it_was(encoder):
    pytest.importorskip("ctranslate2", reason="CTranslate2 computes in int8")
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    ids = torch.randint(50, (3, 12), generator=torch.Generator().manual_seed(0))
    arrays = Arrays(ids, torch.arange(12) < torch.tensor([[12], [5], [1]]))
    actual = Int8Bert(encoder)(arrays)
    with torch.no_grad():
        expected = encoder(arrays).values[arrays.mask]
    assert torch.nn.functional.cosine_similarity(actual.values[arrays.mask], expected).min() > 0.99
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())


def test_without_its_package_it_says_what_to_install(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[search\]'"):
        Int8Bert(encoder)

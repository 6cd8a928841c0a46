import sys

import pytest
import torch

from tonggan.encoders.bert import BertConfig
from tonggan.encoders.bert_int8 import Int8Bert
from tonggan.errors import MissingExtraError
from tonggan.tokens import Arrays


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

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from contracts import check_pretraining, draw
from tonggan.encoders import TextTransformerConfig
from tonggan.encoders.code_transformer import CodeTransformerConfig
from tonggan.errors import ConfigError
from tonggan.modalities import CodeConfig, TextConfig
from tonggan.pretraining.causal_language import CausalLanguageConfig
from tonggan.tokens import Tokens

TEXTS = ["the cat sat on the mat", "猫坐在垫子上", "a dog", None]


@pytest.fixture(scope="module")
def text():
    text = TextConfig(vocab_size=300, max_tokens=48).build()
    text.fit(TEXTS)
    return text


class Recurrent(nn.Module):
    """Sees at each token those before it."""

    def __init__(self, num_tokens, dim):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, dim)
        self.layer = nn.GRU(dim, dim, batch_first=True)

    def forward(self, arrays):
        values, _ = self.layer(self.embedding(arrays.values))
        return Tokens(values, arrays.mask)


def build(config, text):
    return config.build(Recurrent(text.num_tokens, 16), text, dim=16)


def causal_transformer(config, text):
    encoder = TextTransformerConfig(num_layers=1, num_heads=2, dropout=0.0, causal=True)
    return config.build(encoder.build(text, dim=16), text, dim=16)


@pytest.mark.parametrize("make", [build, causal_transformer])
def test_contract(text, make):
    check_pretraining(CausalLanguageConfig(), lambda config: make(config, text), text.collate(TEXTS))


def test_loss_is_that_of_the_next_token(text):
    torch.manual_seed(0)
    objective = build(CausalLanguageConfig(), text).eval()
    arrays = text.collate(["a dog"])
    guessed = objective.guess(arrays, draw(len(arrays)))
    hidden = objective.vocabulary.layers(objective.encoder(arrays).values)[0, :-1]
    logits = hidden @ objective.encoder.embedding.weight.T
    expected = F.cross_entropy(logits, arrays.values[0, 1:], reduction="sum")
    torch.testing.assert_close(guessed.loss[0], expected)
    assert guessed.count.tolist() == [arrays.values.shape[1] - 1]


def test_an_encoder_that_sees_both_ways_is_refused(text):
    encoder = TextTransformerConfig(num_layers=1, num_heads=2).build(text, dim=16)
    with pytest.raises(ConfigError, match=r"sees the tokens it should predict.*masked_language"):
        CausalLanguageConfig().build(encoder, text, dim=16)


@pytest.mark.parametrize("causal", [True, False])
def test_of_code(causal):
    pytest.importorskip("tree_sitter")
    code = CodeConfig(vocab_size=300).build()
    programs = ["def add(first, second):\n    return first + second\n", "x = 1\n", "y = x\n", None]
    code.fit(programs)
    encoder = CodeTransformerConfig(num_layers=1, num_heads=2, dropout=0.0, causal=causal).build(code, dim=16)
    if causal:
        check_pretraining(
            CausalLanguageConfig(), lambda config: config.build(encoder, code, dim=16), code.collate(programs)
        )
    else:
        with pytest.raises(ConfigError, match="sees the tokens it should predict"):
            CausalLanguageConfig().build(encoder, code, dim=16)

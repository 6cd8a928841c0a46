import pytest
import torch

from contracts import check_pretraining, draw
from tonggan.encoders import TextTransformerConfig
from tonggan.encoders.code_graph import CodeGraphConfig
from tonggan.encoders.code_transformer import CodeTransformerConfig
from tonggan.errors import ConfigError
from tonggan.modalities import CodeConfig, TextConfig
from tonggan.pretraining.masked_language import MaskedLanguageConfig
from tonggan.tokens import Arrays, Tokens

TEXTS = ["the cat sat on the mat all day", "猫坐在垫子上看着窗外的鸟儿飞过", "a dog ran off", None]


@pytest.fixture(scope="module")
def text():
    text = TextConfig(vocab_size=300, max_tokens=64).build()
    text.fit(TEXTS)
    return text


def build(config, text, **settings):
    encoder = TextTransformerConfig(num_layers=1, num_heads=2, dropout=0.0, **settings).build(text, dim=16)
    return config.build(encoder, text, dim=16)


@pytest.mark.parametrize("width", [None, 8])
def test_contract(text, width):
    config = MaskedLanguageConfig(hidden=0.5)
    check_pretraining(config, lambda each: build(each, text, width=width), text.collate(TEXTS))


def test_words_are_hidden_whole_and_about_as_often_as_asked(text):
    objective = build(MaskedLanguageConfig(hidden=0.3), text)
    arrays = text.collate(["elephants remember waterfalls"] * 4_000)
    chosen = objective.choose(arrays, draw(4_000))
    starts = objective.starts_word[arrays.values[0]]
    starts[0] = True
    word = starts.long().cumsum(dim=0) - 1
    assert len(starts) > int(word[-1]) + 1, "some word has several tokens"
    for number in range(int(word[-1]) + 1):
        own = chosen[:, word == number]
        assert torch.equal(own.all(dim=1), own.any(dim=1))
        assert 0.26 < float(own[:, 0].float().mean()) < 0.34


def test_chinese_is_hidden_in_runs(text):
    objective = build(MaskedLanguageConfig(hidden=0.3), text)
    arrays = text.collate(["猫坐在垫子上看着窗外的鸟儿飞过"] * 4_000)
    starts = objective.is_wide[arrays.values[0]].clone()
    starts[0] = True
    first = starts.nonzero()[:, 0]
    assert len(first) > 8
    whole = objective.choose(arrays, draw(4_000))
    letter = starts.long().cumsum(dim=0) - 1
    assert torch.equal(whole, whole[:, first][:, letter]), "no letter is hidden in part"
    chosen = whole[:, first]
    share = float(chosen.float().mean())
    assert 0.2 < share < 0.35
    both = float((chosen[:, 2:-1] & chosen[:, 3:]).float().mean())
    assert both > 1.5 * share**2, "neighbors are hidden together"


def test_loss_by_hand(text):
    objective = build(MaskedLanguageConfig(), text)
    arrays = text.collate(["the cat", None])
    values, chosen = torch.randn(2, arrays.values.shape[1], 16), torch.zeros_like(arrays.mask)
    chosen[0, 1] = True
    guessed = objective.vocabulary.guessed(values, arrays.values, chosen)
    logits = objective.vocabulary.layers(values[0, 1]) @ objective.encoder.embedding.weight.T
    expected = -torch.log_softmax(logits, dim=0)[arrays.values[0, 1]]
    torch.testing.assert_close(guessed.loss, torch.stack([expected, torch.zeros(())]))
    assert guessed.count.tolist() == [1, 0]
    assert guessed.right.tolist() == [float(logits.argmax() == arrays.values[0, 1]), 0.0]


def test_an_encoder_that_joins_tokens_is_refused(text):
    class Joined(torch.nn.Module):
        def forward(self, arrays):
            return Tokens(torch.zeros(len(arrays), 1, 16), arrays.present.unsqueeze(1))

    objective = MaskedLanguageConfig().build(Joined(), text, dim=16)
    with pytest.raises(ConfigError, match="an encoder that makes 1 tokens of"):
        objective.guess(Arrays(*(lambda each: (each.values, each.mask))(text.collate(TEXTS))), draw(len(TEXTS)))


PROGRAMS = [
    "def add_numbers(one, two):\n    return one + two\n",
    "def is_even(one):\n    return one % 2 == 0\n",
]


@pytest.fixture(scope="module")
def code():
    pytest.importorskip("tree_sitter")
    code = CodeConfig(vocab_size=300).build()
    code.fit(PROGRAMS)
    return code


@pytest.mark.parametrize("config", [CodeTransformerConfig, CodeGraphConfig])
def test_contract_of_code(code, config):
    encoder = config(num_layers=1, num_heads=2, dropout=0)
    check_pretraining(
        MaskedLanguageConfig(hidden=0.5),
        lambda each: each.build(encoder.build(code, dim=16), code, dim=16),
        code.collate([*PROGRAMS, "x = 1\ny = x + 2\n", None]),
    )


def test_of_code_names_are_hidden_whole_and_structure_stays(code):
    seen = []

    class Sees(torch.nn.Module):
        def forward(self, arrays):
            seen.append(arrays.values)
            return Tokens(torch.zeros(*arrays.mask.shape, 16), arrays.mask)

    objective = MaskedLanguageConfig(hidden=0.5).build(Sees(), code, dim=16)
    arrays = code.collate(PROGRAMS[:1] * 400)
    keyword, pieces, *_ = torch.unique_consecutive(arrays.values[0, :, 1], return_counts=True)[1].tolist()
    assert pieces > 2, "the name has several pieces"
    name = slice(keyword, keyword + pieces)
    chosen = objective.choose(arrays, draw(400))[:, name]
    assert torch.equal(chosen.all(dim=1), chosen.any(dim=1))
    assert 0.4 < float(chosen[:, 0].float().mean()) < 0.6
    objective.guess(arrays, draw(400))
    assert torch.equal(seen[0][..., 1:], arrays.values[..., 1:])
    assert not torch.equal(seen[0][..., 0], arrays.values[..., 0])

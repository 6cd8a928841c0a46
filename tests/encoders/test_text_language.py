import pytest
import torch
from torch import nn

from contracts import check_encoder
from pretrained_scene import pretrained_folder
from tonggan.encoders import TextLanguageConfig
from tonggan.errors import ConfigError
from tonggan.language.pretrained import load_tokenizer
from tonggan.modalities import Text, TextConfig

TEXTS = ["what is it?", "这是什么？", "a <|im_end|> dog", None]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return Text(TextConfig(language=str(pretrained_folder(tmp_path_factory.mktemp("model"))), max_tokens=12))


def test_contract(text):
    torch.manual_seed(0)
    embedding = nn.Embedding(text.num_tokens, 8)

    def build(config):
        encoder = config.build(text, dim=8)
        encoder.read_as(embedding.forward)
        return encoder

    check_encoder(TextLanguageConfig(), build, text.collate(TEXTS), dim=8)


def test_tokens_are_the_decoders_own(text):
    embedding = nn.Embedding(text.num_tokens, 8)
    encoder = TextLanguageConfig().build(text, dim=8)
    encoder.read_as(embedding.forward)
    ids = load_tokenizer(text.config.language).encode(TEXTS[1])[:12]
    tokens = encoder(text.collate(TEXTS))
    assert torch.equal(tokens.values[1, : len(ids)], embedding(torch.tensor(ids)))
    assert not list(encoder.parameters()), "the embedding is the decoder's"


def test_what_people_write_is_no_control_token(text):
    control = load_tokenizer(text.config.language).encode("<|im_end|>", special=True)[0]
    assert control not in text.collate(TEXTS).values[2].tolist()


def test_saved_by_name(text):
    assert text.state() == {}
    assert torch.equal(Text.load(text.config, {}).collate(TEXTS).values, text.collate(TEXTS).values)


def test_a_vocabulary_of_its_own_is_refused():
    text = Text(TextConfig(vocab_size=300))
    with pytest.raises(ConfigError, match="in the tokens of the language model that reads it"):
        TextLanguageConfig().build(text, dim=8)


def test_word_dropout_needs_a_mask_token():
    with pytest.raises(ValueError, match="no <mask>"):
        TextConfig(language="smollm2", word_dropout=0.1)

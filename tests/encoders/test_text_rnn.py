import pytest

from contracts import check_encoder
from tonggan.encoders.text_rnn import TextRNNConfig
from tonggan.modalities.text import Text, TextConfig

TEXTS = ["the cat sat on the mat", "猫坐在垫子上", "a dog", None]


@pytest.fixture(scope="module")
def text() -> Text:
    text = Text(TextConfig(vocab_size=300, max_tokens=48))
    text.fit(TEXTS)
    return text


@pytest.mark.parametrize("settings", [{}, {"cell": "gru", "num_layers": 2, "width": 6}, {"causal": True}])
def test_contract(settings, text):
    check_encoder(TextRNNConfig(**settings), lambda config: config.build(text, dim=8), text.collate(TEXTS), dim=8)


def test_all_texts_absent(text):
    tokens = TextRNNConfig().build(text, dim=8)(text.collate([None, None]))
    assert tokens.present.tolist() == [False, False]
    assert tokens.values.isfinite().all()

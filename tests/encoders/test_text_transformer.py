import pytest
import torch
from torch import nn

from contracts import check_encoder
from tonggan.encoders.text_transformer import TextTransformerConfig
from tonggan.modalities.text import Text, TextConfig
from tonggan.tokens import Arrays

TEXTS = ["the cat sat on the mat", "猫坐在垫子上", "a dog", None]


@pytest.fixture(scope="module")
def text() -> Text:
    text = Text(TextConfig(vocab_size=300, max_tokens=48))
    text.fit(TEXTS)
    return text


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_layers": 0},
        {"positions": "rotary", "width": 12},
        {"num_layers": 1, "width": 4, "mlp_ratio": 1.5, "dropout": 0.0},
        {"causal": True},
        {"causal": True, "positions": "rotary"},
    ],
)
def test_contract(settings, text):
    config = TextTransformerConfig(**({"num_layers": 2, "num_heads": 2} | settings))
    check_encoder(config, lambda config: config.build(text, dim=8), text.collate(TEXTS), dim=8)


def test_equals_torch(text):
    torch.manual_seed(0)
    encoder = TextTransformerConfig(num_layers=1, num_heads=2, dropout=0.0).build(text, dim=8)
    block = encoder.transformer.blocks[0]
    reference = nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    reference.self_attn.in_proj_weight.data.copy_(block.attention.in_projection.weight)
    reference.self_attn.in_proj_bias.data.copy_(block.attention.in_projection.bias)
    reference.self_attn.out_proj.load_state_dict(block.attention.out_projection.state_dict())
    reference.linear1.load_state_dict(block.mlp[0].state_dict())
    reference.linear2.load_state_dict(block.mlp[3].state_dict())
    arrays = text.collate(TEXTS[:3])
    embedded = encoder.embedding.weight[arrays.values] + encoder.positions[: arrays.values.shape[1]]
    expected = nn.functional.layer_norm(reference(embedded, src_key_padding_mask=~arrays.mask), (8,))
    actual = encoder(arrays).values
    torch.testing.assert_close(actual[arrays.mask], expected[arrays.mask], rtol=1e-4, atol=1e-5)


def test_bag_of_embeddings_knows_no_order(text):
    encoder = TextTransformerConfig(num_layers=0).build(text, dim=8).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    forwards, backwards = (encoder(Arrays(part, torch.ones_like(part).bool())).mean() for part in (ids, ids.flip(1)))
    torch.testing.assert_close(forwards, backwards)
    expected = nn.functional.layer_norm(encoder.embedding.weight[ids], (8,)).mean(dim=1)
    torch.testing.assert_close(forwards, expected)
    assert not hasattr(encoder.positions, "shape")


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_order_matters_with_layers(positions, text):
    torch.manual_seed(0)
    encoder = TextTransformerConfig(num_layers=1, num_heads=2, positions=positions).build(text, dim=8).eval()
    # Larger weights than at the start of training, whose small numbers would hide the difference.
    for parameter in encoder.parameters():
        parameter.data.mul_(4)
    ids = torch.tensor([[5, 6, 7, 8]])
    forwards, backwards = (encoder(Arrays(part, torch.ones_like(part).bool())).mean() for part in (ids, ids.flip(1)))
    assert (forwards - backwards).abs().max() > 1e-4


def test_all_texts_absent(text):
    encoder = TextTransformerConfig(num_layers=1).build(text, dim=8)
    tokens = encoder(text.collate([None, None]))
    assert tokens.present.tolist() == [False, False]
    assert torch.isfinite(tokens.values).all()


@pytest.mark.parametrize("causal", [True, False])
def test_causal_knows_nothing_of_what_comes(causal, text):
    torch.manual_seed(0)
    encoder = TextTransformerConfig(num_layers=2, num_heads=2, causal=causal).build(text, dim=8).eval()
    for parameter in encoder.parameters():
        parameter.data.mul_(4)
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 9, 10]])
    tokens = encoder(Arrays(ids, torch.ones_like(ids).bool()))
    same = torch.allclose(tokens.values[0, :2], tokens.values[1, :2])
    assert same == causal


def test_causal_with_a_gap_at_the_beginning(text):
    encoder = TextTransformerConfig(causal=True).build(text, dim=8).eval()
    arrays = Arrays(torch.tensor([[5, 6, 7]]), torch.tensor([[False, True, True]]))
    tokens = encoder(arrays)
    assert tokens.values.isfinite().all()
    other = encoder(Arrays(torch.tensor([[9, 6, 7]]), arrays.mask))
    torch.testing.assert_close(other.values[:, 1:], tokens.values[:, 1:])

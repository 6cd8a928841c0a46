import copy

import pytest
import torch
import torch.nn.functional as F
import transformers

from architecture_scene import KINDS, SIZES, own, random_ids, reference
from tonggan.errors import ConfigError
from tonggan.language.causal_transformer import CausalTransformerConfig, _attend_by_products, window_mask

LENGTHS = torch.tensor([12, 5, 1])
MASK = torch.arange(12) < LENGTHS[:, None]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_transformers(kind):
    model, ids = own(kind), random_ids(3, 12)
    expected = reference(kind)(ids).logits
    assert expected.abs().max() > 1
    torch.testing.assert_close(model.logits(model(model.embed(ids))), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_comes_back_as_zeros(kind):
    model = own(kind)
    values = model.embed(random_ids(3, 12))
    hidden = model(values.masked_fill(~MASK[..., None], torch.nan), mask=MASK)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(values[row : row + 1, :length])[0]
        torch.testing.assert_close(hidden[row, :length], alone, rtol=0, atol=1e-5)
    assert not hidden[~MASK].any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_transformers_and_reach_every_parameter(kind):
    model, ids = own(kind), random_ids(3, 12)
    other = copy.deepcopy(reference(kind))
    hidden = model(model.embed(ids), mask=MASK)
    real = MASK[:, 1:]
    F.cross_entropy(model.logits(hidden[:, :-1][real]), ids[:, 1:][real]).backward()
    other(ids, attention_mask=MASK.long(), labels=ids.masked_fill(~MASK, -100)).loss.backward()
    expected = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_bf16_training_stays_near_fp32(kind, mask):
    model = own(kind)
    values = model.embed(random_ids(3, 12)).detach()
    target = torch.randn(3, 12, 64, generator=torch.Generator().manual_seed(0))

    def gradient() -> torch.Tensor:
        model.zero_grad()
        (model(values, mask=mask).float() * target).mean().backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.model.layers.parameters()])

    expected = gradient()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = gradient()
    assert (actual - expected).norm() < 0.05 * expected.norm()


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = CausalTransformerConfig(**SIZES, dropout=0.5).build()
    values = torch.randn(1, 4, 64)
    assert not torch.equal(model(values), model(values))
    model.eval()
    assert torch.equal(model(values), model(values))


def test_new_weights_give_no_token_much_more_than_its_chance():
    torch.manual_seed(0)
    model = CausalTransformerConfig(**SIZES).build()
    ids = torch.randint(300, (4, 16))
    loss = F.cross_entropy(model.logits(model(model.embed(ids)))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    # Logits of variance one: half a nat above the entropy of 300 equal chances.
    assert loss.item() == pytest.approx(torch.tensor(300.0).log().item() + 0.5, abs=0.2)


@pytest.mark.parametrize("window", [5, 300, 400])
def test_attention_by_products_sees_through_a_window(window):
    """Over more than one block of queries, in bf16 as it trains."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 600, 16, generator=generator) for heads in (4, 2, 2))
    visible = window_mask(600, 600, window, device=query.device)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, enable_gqa=True)
    found = _attend_by_products(query, key, value, window=window)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "window", "longest"),
    [
        (transformers.MistralConfig(**SIZES, sliding_window=32), 32, 128),
        (transformers.MistralConfig(**SIZES, sliding_window=None), None, 128),
        (transformers.MistralConfig(**SIZES, sliding_window=128), None, 128),
        (transformers.Qwen2Config(**SIZES, sliding_window=32), None, 128),
        (transformers.Qwen2Config(**SIZES, sliding_window=32, use_sliding_window=True, max_window_layers=0), 32, 128),
        # Only a later layer has a window; before it is full, all layers see alike.
        (transformers.Qwen2Config(**SIZES, sliding_window=32, use_sliding_window=True, max_window_layers=1), None, 32),
        (transformers.Qwen2Config(**SIZES, sliding_window=32, use_sliding_window=True, max_window_layers=2), None, 128),
    ],
)
def test_what_a_sliding_window_allows(config, window, longest):
    found = CausalTransformerConfig.from_hugging_face(config.to_dict())
    assert (found.sliding_window, found.max_position_embeddings) == (window, longest)


def test_older_fields_of_transformers():
    config = CausalTransformerConfig.from_hugging_face(
        {"model_type": "llama", **SIZES, "rope_theta": 1e5, "rope_scaling": None}
    )
    assert (config.rope_theta, config.tie_word_embeddings) == (1e5, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt_neox"}, "model_type 'gpt_neox', expected one of llama, mistral, qwen2"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling 'llama3', expected 'default'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling 'linear'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu', expected 'silu'"),
        ({"mlp_bias": True}, "mlp_bias True"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"num_key_value_heads": 3}, "4 query heads are not a multiple of 3 key-value heads"),
        ({"hidden_size": 33}, "hidden_size 33 is not a multiple of 4 heads"),
        ({"hidden_size": 36}, "heads are 9 wide"),
    ],
)
def test_what_is_no_llama_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        CausalTransformerConfig.from_hugging_face({"model_type": "llama", **SIZES} | change, who="config.json")

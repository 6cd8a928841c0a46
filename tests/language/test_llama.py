import pytest
import torch
import torch.nn.functional as F
import transformers

from tonggan.errors import ConfigError
from tonggan.language.llama import LlamaConfig

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
KINDS = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"tie_word_embeddings": True}),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {"rope_theta": 500_000.0}),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, {"head_dim": 16, "sliding_window": 32}),
}
LENGTHS = torch.tensor([12, 5, 1])
MASK = torch.arange(12) < LENGTHS[:, None]


def pair(kind):
    """A model of transformers with random weights, and Tonggan's with the same."""
    torch.manual_seed(0)
    config, build, extra = KINDS[kind]
    reference = build(config(**SIZES, **extra)).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=1.0 if parameter.dim() == 1 else 0.2)
    state = reference.state_dict()
    if extra.get("tie_word_embeddings"):
        del state["lm_head.weight"]
    own = LlamaConfig.from_hugging_face(reference.config.to_dict()).build().eval()
    own.load_state_dict(state)
    return own, reference


@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_transformers(kind):
    own, reference = pair(kind)
    ids = torch.randint(97, (3, 12))
    expected = reference(ids).logits
    assert expected.abs().max() > 1
    torch.testing.assert_close(own.logits(own(own.embed(ids))), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_comes_back_as_zeros(kind):
    own, _ = pair(kind)
    values = own.embed(torch.randint(97, (3, 12)))
    hidden = own(values.masked_fill(~MASK[..., None], torch.nan), mask=MASK)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = own(values[row : row + 1, :length])[0]
        torch.testing.assert_close(hidden[row, :length], alone, rtol=0, atol=1e-5)
    assert not hidden[~MASK].any()


def test_gradients_equal_transformers_and_reach_every_parameter():
    own, reference = pair("llama")
    ids = torch.randint(97, (3, 12))
    hidden = own(own.embed(ids), mask=MASK)
    real = MASK[:, 1:]
    F.cross_entropy(own.logits(hidden[:, :-1][real]), ids[:, 1:][real]).backward()
    reference(ids, attention_mask=MASK.long(), labels=ids.masked_fill(~MASK, -100)).loss.backward()
    expected = dict(reference.named_parameters())
    for name, parameter in own.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mask", [None, MASK])
def test_bf16_training_stays_near_fp32(mask):
    own, _ = pair("llama")
    values = own.embed(torch.randint(97, (3, 12))).detach()
    target = torch.randn(3, 12, 32)

    def gradient() -> torch.Tensor:
        own.zero_grad()
        (own(values, mask=mask).float() * target).mean().backward()
        return torch.cat([parameter.grad.flatten() for parameter in own.model.layers.parameters()])

    expected = gradient()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = gradient()
    assert (actual - expected).norm() < 0.05 * expected.norm()


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = LlamaConfig(**SIZES, dropout=0.5).build()
    values = torch.randn(1, 4, 32)
    assert not torch.equal(model(values), model(values))
    model.eval()
    assert torch.equal(model(values), model(values))


def test_new_weights_give_no_token_much_more_than_its_chance():
    torch.manual_seed(0)
    model = LlamaConfig(**SIZES).build()
    ids = torch.randint(97, (4, 16))
    loss = F.cross_entropy(model.logits(model(model.embed(ids)))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    # Logits of variance one: half a nat above the entropy of 97 equal chances.
    assert loss.item() == pytest.approx(torch.tensor(97.0).log().item() + 0.5, abs=0.2)


def test_what_a_sliding_window_allows():
    data = transformers.MistralConfig(**SIZES, sliding_window=32).to_dict()
    assert LlamaConfig.from_hugging_face(data).max_position_embeddings == 32
    data = transformers.MistralConfig(**SIZES, sliding_window=None).to_dict()
    assert LlamaConfig.from_hugging_face(data).max_position_embeddings == 64


def test_older_fields_of_transformers():
    config = LlamaConfig.from_hugging_face({"model_type": "llama", **SIZES, "rope_theta": 1e5, "rope_scaling": None})
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
        ({"num_key_value_heads": 3}, "4 heads of queries are no multiple of 3 of keys"),
        ({"hidden_size": 33}, "hidden_size 33 is no multiple of 4 heads"),
        ({"hidden_size": 36}, "heads are 9 wide"),
    ],
)
def test_what_is_no_llama_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        LlamaConfig.from_hugging_face({"model_type": "llama", **SIZES} | change, who="config.json")

import pytest
import torch

from contracts import check_fusion, example_tokens
from tonggan.errors import ConfigError
from tonggan.fusion.perceiver import PerceiverConfig
from tonggan.modalities import AudioConfig, ImageConfig, TextConfig
from tonggan.models import ModelConfig

NAMES = ["picture", "words", "sound"]


@pytest.mark.parametrize(
    "settings", [{}, {"num_latents": 3, "num_rounds": 1, "num_layers": 1, "num_queries": 2, "num_heads": 2}]
)
def test_contract(settings):
    config = PerceiverConfig(**{"dropout": 0.0} | settings)
    check_fusion(config, lambda each: each.build(NAMES, dim=16))


def test_each_query_is_a_token():
    fused = PerceiverConfig(num_queries=3).build(NAMES, dim=16)(example_tokens())
    assert fused.values.shape == (5, 3, 16)


def test_order_counts_and_so_does_which_input_it_is():
    fusion, tokens = PerceiverConfig().build(NAMES, dim=16).eval(), example_tokens(rows=3)
    words = tokens["words"]
    turned = {**tokens, "words": type(words)(words.values.flip(1), words.mask.flip(1))}
    assert not torch.allclose(fusion(tokens).values[0], fusion(turned).values[0], atol=1e-4)
    only = {name: part.keep(torch.full((3,), name == "words")) for name, part in tokens.items()}
    moved = {"picture": only["words"], "words": only["picture"], "sound": only["sound"]}
    assert not torch.allclose(fusion(only).values[0], fusion(moved).values[0], atol=1e-4)


def test_inputs_without_a_named_encoder_have_no_layers():
    text = TextConfig(vocab_size=300).build()
    text.fit(["a b", "c d"])
    modalities = {"photo": ImageConfig(size=16).build(), "note": text, "sound": AudioConfig(sample_rate=2_000).build()}
    config = ModelConfig(dim=16, fusion=PerceiverConfig(), encoders={"sound": {"kind": "audio_cnn"}})
    found = config.resolve(modalities).encoders
    assert [found[name].kind for name in modalities] == ["image_vit", "text_transformer", "audio_cnn"]
    assert found["photo"].num_layers == found["note"].num_layers == 0


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="width 16 with 3 heads"):
        PerceiverConfig(num_heads=3).build(NAMES, dim=16)

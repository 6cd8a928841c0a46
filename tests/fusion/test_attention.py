import pytest
import torch

from contracts import assert_same_tokens, check_fusion, example_tokens
from tonggan.errors import ConfigError
from tonggan.fusion import AttentionConfig
from tonggan.tokens import Tokens

NAMES = ["picture", "words", "sound"]


@pytest.mark.parametrize("config", [AttentionConfig(), AttentionConfig(num_latents=1, num_layers=1, num_heads=2)])
def test_contract(config):
    check_fusion(config, lambda config: config.build(NAMES, dim=16))


def test_the_first_reading_is_torchs_attention():
    tokens = {name: part.take(torch.tensor([0, 1])) for name, part in example_tokens().items()}
    fusion = AttentionConfig(num_layers=1, num_heads=2).build(NAMES, dim=16)
    cross = fusion.rounds[0].cross
    reference = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    reference.in_proj_weight, reference.in_proj_bias = cross.in_projection.weight, cross.in_projection.bias
    reference.out_proj = cross.out_projection
    parts = [
        Tokens(torch.nn.functional.layer_norm(tokens[name].values, (16,)) + kind, tokens[name].mask)
        for name, kind in zip(NAMES, fusion.kinds, strict=True)
    ]
    read = Tokens.concat(parts)
    latents = fusion.latents.expand(2, -1, -1)
    query = torch.nn.functional.layer_norm(latents, (16,))
    found, _ = reference(query, read.values, read.values, key_padding_mask=~read.mask)
    block = fusion.rounds[0].block
    expected = block(latents + found, torch.ones(2, 8, dtype=torch.bool))
    torch.testing.assert_close(fusion(tokens).values, expected, rtol=1e-4, atol=1e-5)


def test_the_order_of_tokens_does_not_matter_but_their_input_does():
    tokens = example_tokens()
    fusion = AttentionConfig().build(NAMES, dim=16)
    fused = fusion(tokens)
    words = tokens["words"]
    flipped = tokens | {"words": Tokens(words.values.flip(1), words.mask.flip(1))}
    assert_same_tokens(fusion(flipped), fused)
    swapped = tokens | {"words": tokens["picture"], "picture": words}
    assert not torch.allclose(fusion(swapped).values[0], fused.values[0])


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="multiple of 3"):
        AttentionConfig(num_heads=3).build(NAMES, dim=16)

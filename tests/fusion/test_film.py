import pytest
import torch

from contracts import check_fusion, example_tokens
from tonggan.fusion import FiLMConfig

NAMES = ["picture", "words", "sound"]


@pytest.mark.parametrize("config", [FiLMConfig(), FiLMConfig(num_layers=1, dropout=0.1)])
def test_contract(config):
    check_fusion(config, lambda config: config.build(NAMES, dim=16))


def test_modulation_by_hand():
    tokens = example_tokens()
    fusion = FiLMConfig(num_layers=1).build(NAMES, dim=16)
    stream = fusion.streams[0]
    projected, _ = fusion.inputs(tokens)
    gamma, beta = stream.generator(projected[0, 1] + projected[0, 2]).split(16)
    values = tokens["picture"].values[0]
    normalized = torch.nn.functional.layer_norm(values, (16,))
    expected = values + stream.blocks[0](normalized * (1 + gamma) + beta)
    fused = fusion(tokens)
    torch.testing.assert_close(fused.values[0, 0], expected[tokens["picture"].mask[0]].mean(dim=0))
    assert torch.equal(fused.mask, torch.stack([tokens[name].present for name in NAMES], dim=1))


def test_without_others_the_modulation_is_the_identity():
    tokens = example_tokens()
    fusion = FiLMConfig().build(NAMES, dim=16)
    stream = fusion.streams[2]
    values = tokens["sound"].values[3]
    for block in stream.blocks:
        values = values + block(torch.nn.functional.layer_norm(values, (16,)))
    torch.testing.assert_close(fusion(tokens).values[3, -1:], values)
    assert fusion(tokens).mask[3].tolist() == [False, False, True]


def test_one_input_alone_needs_no_generator():
    tokens = {"picture": example_tokens()["picture"]}
    fusion = FiLMConfig().build(["picture"], dim=16)
    assert not any("generator" in name for name, _ in fusion.named_parameters())
    assert fusion(tokens).values.shape == (5, 1, 16)

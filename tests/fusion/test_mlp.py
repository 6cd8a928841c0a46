import pytest
import torch

from contracts import check_fusion, example_tokens
from tonggan.config import Config
from tonggan.errors import ConfigError
from tonggan.fusion import FusionConfig, MLPConfig

NAMES = ["picture", "words", "sound"]


@pytest.mark.parametrize("config", [MLPConfig(), MLPConfig(num_layers=1, hidden_ratio=1.5)])
def test_contract(config):
    check_fusion(config, lambda config: config.build(NAMES, dim=16))


def test_each_block_adds_its_perceptron():
    tokens = example_tokens()
    fusion = MLPConfig(num_layers=1).build(NAMES, dim=16)
    before = fusion.concat(tokens).values
    first, last = fusion.blocks[0][1][0], fusion.blocks[0][1][3]
    hidden = torch.nn.functional.gelu(first(torch.nn.functional.layer_norm(before, (16,))))
    torch.testing.assert_close(fusion(tokens).values, before + hidden @ last.weight.T + last.bias)


def test_a_typo_is_answered_with_the_kinds():
    class Holder(Config):
        fusion: FusionConfig

    with pytest.raises(
        ConfigError, match=r"'attention', 'concat', 'film', 'gated', 'mlp', 'perceiver', 'prefix', 'sum', 'weighted'"
    ):
        Holder.parse({"fusion": {"kind": "filn"}}, who="recipe")

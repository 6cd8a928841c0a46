import pytest
import torch

from contracts import check_fusion, example_tokens
from tonggan.fusion import GatedConfig

NAMES = ["picture", "words", "sound"]


@pytest.mark.parametrize("config", [GatedConfig(), GatedConfig(dropout=0.1)])
def test_contract(config):
    check_fusion(config, lambda config: config.build(NAMES, dim=16))


def test_gates_differ_by_row_and_add_up_to_one_over_what_is_present():
    tokens = example_tokens()
    fusion = GatedConfig().build(NAMES, dim=16)
    projected, present = fusion.inputs(tokens)
    gates = fusion.gates(projected, present)
    torch.testing.assert_close(gates.sum(dim=1), present.any(dim=1, keepdim=True).float().expand(5, 16))
    assert not gates[~present].any()
    torch.testing.assert_close(gates[3, 2], torch.ones(16))
    assert not torch.allclose(gates[0], gates[2])


def test_even_gates_give_the_mean_of_tanh():
    tokens = example_tokens()
    fusion = GatedConfig().build(NAMES, dim=16)
    torch.nn.init.zeros_(fusion.meta[3].weight)
    torch.nn.init.zeros_(fusion.meta[3].bias)
    projected, _ = fusion.inputs(tokens)
    torch.testing.assert_close(fusion(tokens).values[0, 0], projected[0].tanh().mean(dim=0))
    torch.testing.assert_close(fusion(tokens).values[1, 0], projected[1, :2].tanh().mean(dim=0))

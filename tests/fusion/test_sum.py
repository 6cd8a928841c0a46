import torch

from contracts import check_fusion, example_tokens
from tonggan.fusion import SumConfig

NAMES = ["picture", "words", "sound"]


def test_contract():
    check_fusion(SumConfig(), lambda config: config.build(NAMES, dim=16))


def test_by_hand():
    tokens = example_tokens()
    fusion = SumConfig().build(NAMES, dim=16)
    expected = torch.zeros(16)
    for name, linear in zip(NAMES, fusion.inputs.projections, strict=True):
        mean = tokens[name].values[0][tokens[name].mask[0]].mean(dim=0)
        expected += linear(torch.nn.functional.layer_norm(mean, (16,)))
    torch.testing.assert_close(fusion(tokens).values[0, 0], expected)
    only_sound = fusion(tokens).values[3, 0]
    torch.testing.assert_close(only_sound, linear(torch.nn.functional.layer_norm(tokens["sound"].values[3, 0], (16,))))

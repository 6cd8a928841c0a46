import torch

from contracts import check_fusion, example_tokens
from tonggan.fusion import WeightedConfig

NAMES = ["picture", "words", "sound"]


def test_contract():
    check_fusion(WeightedConfig(), lambda config: config.build(NAMES, dim=16))


def test_by_hand():
    tokens = example_tokens()
    fusion = WeightedConfig().build(NAMES, dim=16)
    with torch.no_grad():
        fusion.logits.copy_(torch.tensor([0.5, 0.2, 0.1]).log())
    projected, _ = fusion.inputs(tokens)
    fused = fusion(tokens).values[:, 0]
    # The logits are the weights' logarithms, so the shares are 5/8, 2/8, 1/8; without sound 5/7 and 2/7.
    torch.testing.assert_close(fused[0], (5 * projected[0, 0] + 2 * projected[0, 1] + projected[0, 2]) / 8)
    torch.testing.assert_close(fused[1], (5 * projected[1, 0] + 2 * projected[1, 1]) / 7)
    torch.testing.assert_close(fused[3], projected[3, 2])

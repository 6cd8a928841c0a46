import torch

from contracts import check_fusion, example_tokens
from tonggan.fusion import ConcatConfig

NAMES = ["picture", "words", "sound"]


def test_contract():
    check_fusion(ConcatConfig(), lambda config: config.build(NAMES, dim=16))


def test_an_absent_input_has_its_own_learned_vector():
    tokens = example_tokens()
    fusion = ConcatConfig().build(NAMES, dim=16)
    parts = [torch.nn.functional.layer_norm(tokens[name].mean()[1], (16,)) for name in ["picture", "words"]]
    expected = fusion.linear(torch.cat([*parts, fusion.absent[2]]))
    torch.testing.assert_close(fusion(tokens).values[1, 0], expected)

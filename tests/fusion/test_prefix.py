import pytest
import torch

from contracts import check_fusion, example_tokens
from tonggan.fusion import PrefixConfig

NAMES = ["picture", "words", "sound"]


@pytest.mark.parametrize(
    "config", [PrefixConfig(), PrefixConfig(projector="mlp"), PrefixConfig(projector="queries", num_queries=3)]
)
def test_contract(config):
    check_fusion(config, lambda config: config.build(NAMES, dim=16))


def test_linear_projection_by_hand_and_verbatim_inputs_untouched():
    tokens = example_tokens()
    fusion = PrefixConfig(verbatim=["words"]).build(NAMES, dim=16)
    fused = fusion(tokens)
    assert torch.equal(fused.values[:, 4:10], tokens["words"].values)
    assert torch.equal(fused.mask, torch.cat([tokens[name].mask for name in NAMES], dim=1))
    layer = fusion.projectors[0].map
    expected = torch.nn.functional.layer_norm(tokens["picture"].values, (16,)) @ layer.weight.T + layer.bias
    torch.testing.assert_close(fused.values[:, :4], expected)


def test_queries_give_a_fixed_number_of_tokens_for_what_is_present():
    fusion = PrefixConfig(projector="queries", num_queries=3).build(NAMES, dim=16)
    fused = fusion(example_tokens())
    assert fused.values.shape == (5, 9, 16)
    assert fused.mask[1].tolist() == [True] * 6 + [False] * 3  # Row 1 has no sound.


@pytest.mark.parametrize("projector", ["linear", "mlp"])
def test_scale_is_that_of_the_decoders_embeddings(projector):
    torch.manual_seed(0)
    tokens = example_tokens(dim=256, rows=20)
    small, large = (
        PrefixConfig(projector=projector, scale=scale).build(NAMES, dim=256)(tokens).values.std() for scale in (0.1, 1)
    )
    assert (large / small).item() == pytest.approx(10, rel=0.1)

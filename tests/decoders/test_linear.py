import pytest
import torch

from contracts import check_config, check_gradients, check_save_load, example_tokens, scramble_hidden
from tonggan.decoders import LinearHeadConfig


@pytest.mark.parametrize("config", [LinearHeadConfig(), LinearHeadConfig(hidden=8, dropout=0.1)])
def test_contract(config):
    check_config(config)
    torch.manual_seed(0)
    tokens = example_tokens()["picture"]
    head = config.build(16, num_outputs=3).eval()
    with torch.no_grad():
        outputs = head(tokens)
        assert outputs.shape == (5, 3)
        torch.testing.assert_close(head(scramble_hidden(tokens)), outputs)
        torch.testing.assert_close(outputs[-1], outputs[-2])  # both absent
    check_gradients(head, lambda: head(tokens))
    check_save_load(config.build(16, num_outputs=3), config.build(16, num_outputs=3), lambda module: module(tokens))


def test_against_torch():
    tokens = example_tokens()["picture"].take(torch.tensor([0]))
    head = LinearHeadConfig().build(16, num_outputs=3).eval()
    pooled = torch.nn.functional.layer_norm(tokens.values[tokens.mask].mean(dim=0), (16,))
    linear = head.layers[0]
    torch.testing.assert_close(head(tokens)[0], pooled @ linear.weight.T + linear.bias)

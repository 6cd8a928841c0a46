import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.code_graph import CodeGraphConfig, Messages
from tonggan.modalities.code import RELATIONS, Code, CodeConfig
from tonggan.tokens import Arrays

PROGRAMS = [
    "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result\n",
    "def broken(x:\n    return x + \n",
    "x = (1, 2)\ny, z = x\nprint(y)\n",
    None,
]


@pytest.fixture(scope="module")
def code() -> Code:
    code = CodeConfig(min_frequency=1, max_tokens=64).build()
    code.fit(PROGRAMS)
    return code


@pytest.mark.parametrize("settings", [{}, {"width": 12, "num_layers": 1}])
def test_contract(settings, code):
    config = CodeGraphConfig(**({"num_heads": 2} | settings))
    check_encoder(config, lambda config: config.build(code, dim=8), code.collate(PROGRAMS), dim=8)


def test_messages_by_hand():
    torch.manual_seed(0)
    messages = Messages(4, dropout=0.0)
    values = torch.randn(1, 3, 4)
    # Tokens 1 and 2 have their last use at 0, nothing else is related.
    targets = torch.full((1, 3, len(RELATIONS)), -1)
    targets[0, 1:, 0] = 0
    said = messages.said(messages.norm(values))[0].view(3, 2, len(RELATIONS), 1)
    parts = torch.zeros(3, 2, len(RELATIONS), 1)
    parts[1:, 0, 0] = said[0, 0, 0]
    parts[0, 1, 0] = (said[1, 1, 0] + said[2, 1, 0]) / 2
    torch.testing.assert_close(messages(values, targets)[0], messages.heard(parts.flatten(1)))


def test_data_flow_changes_what_is_seen(code):
    torch.manual_seed(0)
    encoder = CodeGraphConfig(num_layers=1).build(code, dim=8).eval()
    arrays = code.collate([PROGRAMS[2]])
    other = arrays.values.clone()
    other[..., 3:] = -1
    without = encoder(Arrays(other, arrays.mask))
    assert not torch.allclose(encoder(arrays).values, without.values, atol=1e-4)

import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.code_transformer import CodeTransformerConfig
from tonggan.modalities.code import Code, CodeConfig

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


@pytest.mark.parametrize("settings", [{}, {"width": 12, "num_layers": 1, "causal": True}])
def test_contract(settings, code):
    config = CodeTransformerConfig(**({"num_heads": 2} | settings))
    check_encoder(config, lambda config: config.build(code, dim=8), code.collate(PROGRAMS), dim=8)


def test_indentation_is_seen(code):
    torch.manual_seed(0)
    encoder = CodeTransformerConfig().build(code, dim=8).eval()
    inside, outside = ("for x in y:\n    a(x)\n    b(x)\n", "for x in y:\n    a(x)\nb(x)\n")
    one, other = (encoder(code.collate([text])).values for text in (inside, outside))
    assert one.shape == other.shape
    assert not torch.allclose(one, other)

import pytest
import torch
from torch import nn

from tonggan.errors import ConfigError
from tonggan.layers.attention import Attention


def as_reference(attention: Attention) -> nn.MultiheadAttention:
    dim = attention.out_projection.in_features
    reference = nn.MultiheadAttention(dim, attention.num_heads, batch_first=True)
    reference.in_proj_weight.data.copy_(attention.in_projection.weight)
    reference.in_proj_bias.data.copy_(attention.in_projection.bias)
    reference.out_proj.load_state_dict(attention.out_projection.state_dict())
    return reference.eval()


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(16, num_heads=4).eval()


def test_equals_torch_on_itself(attention):
    values = torch.randn(3, 5, 16)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 0, 0]]).bool()
    expected, _ = as_reference(attention)(values, values, values, key_padding_mask=~mask)
    torch.testing.assert_close(attention(values, mask=mask), expected, rtol=1e-5, atol=1e-6)


def test_equals_torch_on_others(attention):
    queries, keys = torch.randn(2, 3, 16), torch.randn(2, 6, 16)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()
    expected, _ = as_reference(attention)(queries, keys, keys, key_padding_mask=~mask)
    torch.testing.assert_close(attention(queries, keys=keys, mask=mask), expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_found_where_no_key_is_real(attention):
    values = torch.randn(2, 3, 16, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [0, 0, 0]]).bool()
    output = attention(values, mask=mask)
    torch.testing.assert_close(output[1], attention.out_projection.bias.expand(3, -1))
    output.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert values.grad[1].abs().max() == 0


def test_no_keys_at_all(attention):
    output = attention(torch.randn(2, 3, 16), keys=torch.randn(2, 0, 16), mask=torch.zeros(2, 0, dtype=torch.bool))
    torch.testing.assert_close(output, attention.out_projection.bias.expand(2, 3, -1))


def test_rotary_sees_distances_only():
    torch.manual_seed(0)
    attention = Attention(16, num_heads=2, rotary=True).eval()
    values = torch.randn(1, 4, 16)
    shifted = torch.cat([torch.randn(1, 3, 16), values], dim=1)
    mask = torch.ones(1, 4, dtype=torch.bool)
    later = torch.tensor([[0, 0, 0, 1, 1, 1, 1]]).bool()
    torch.testing.assert_close(
        attention(shifted, mask=later)[:, 3:], attention(values, mask=mask), rtol=1e-4, atol=1e-5
    )
    backwards = attention(values.flip(1), mask=mask).flip(1)
    assert not torch.allclose(backwards, attention(values, mask=mask), atol=1e-3)


def test_width_must_fit_the_heads():
    with pytest.raises(ConfigError, match=r"width 10 with 4 heads, expected a width that is a multiple of 4"):
        Attention(10, num_heads=4)
    with pytest.raises(ConfigError, match="multiple of 8"):
        Attention(12, num_heads=4, rotary=True)


def test_causal_equals_torch():
    torch.manual_seed(0)
    attention = Attention(16, num_heads=4, causal=True).eval()
    values = torch.randn(2, 5, 16)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    expected, _ = as_reference(attention)(
        values, values, values, key_padding_mask=~mask, attn_mask=torch.ones(5, 5).tril() == 0
    )
    torch.testing.assert_close(attention(values, mask=mask)[mask], expected[mask], rtol=1e-5, atol=1e-6)

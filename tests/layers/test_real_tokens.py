import torch
from torch import nn

from tonggan.layers.real_tokens import add_to_real

MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()


def test_real_tokens_and_gradients_are_those_of_the_plain_sum():
    torch.manual_seed(0)
    layer, seen = nn.Linear(4, 4), []

    def branch(tokens):
        seen.append(tokens.numel() // 4)
        return layer(tokens)

    values = torch.randn(3, 5, 4, requires_grad=True)
    plain, own = values + layer(values), add_to_real(values, branch, MASK)
    assert seen == [4]
    torch.testing.assert_close(own[MASK], plain[MASK])
    found = [torch.autograd.grad(each[MASK].square().sum(), [values, *layer.parameters()]) for each in (own, plain)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_nothing_is_picked_where_little_is_padding_and_none_where_all_is():
    layer, values = nn.Linear(4, 4), torch.randn(3, 5, 4)
    torch.testing.assert_close(add_to_real(values, layer, MASK | True), values + layer(values), rtol=0, atol=0)
    torch.testing.assert_close(add_to_real(values, layer, MASK & False), values, rtol=0, atol=0)


def test_mixed_precision_keeps_the_dtype_of_the_sum():
    layer, values = nn.Linear(4, 4), torch.randn(3, 5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own, plain = add_to_real(values, layer, MASK), values + layer(values)
    assert own.dtype == plain.dtype == torch.float32
    torch.testing.assert_close(own[MASK], plain[MASK])

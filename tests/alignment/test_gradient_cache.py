import pytest
import torch
from torch import nn

from tonggan.alignment import ContrastiveConfig, PairShape
from tonggan.alignment.gradient_cache import in_pieces


def gradients(size: int, *, dropout: float = 0.0) -> list[torch.Tensor]:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 32), nn.GELU(), nn.Dropout(dropout), nn.Linear(32, 4))
    loss = ContrastiveConfig().build(PairShape(4))
    left, right = torch.randn(24, 6), torch.randn(24, 6)
    vectors = [in_pieces(encoder, side.split(size)) for side in (left, right)]
    loss(*vectors).backward()
    return [weight.grad for weight in encoder.parameters()]


@pytest.mark.parametrize("size", [1, 7, 24])
def test_gradients_are_those_of_the_whole_batch(size):
    for found, wanted in zip(gradients(size), gradients(100), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_dropout_is_the_same_when_a_piece_is_computed_again():
    """The vectors that are compared and those whose gradient is taken come from the same units."""
    torch.manual_seed(0)
    dropout = nn.Dropout(0.5)
    scale = torch.ones(1000, requires_grad=True)
    made = in_pieces(lambda piece: dropout(piece * scale), [torch.ones(1, 1000), torch.ones(1, 1000)])
    made.sum().backward()
    torch.testing.assert_close(scale.grad, made.detach().sum(dim=0))


def test_less_is_kept_for_the_way_back():
    encoder = nn.Sequential(nn.Linear(6, 64), nn.GELU(), nn.Linear(64, 4))

    def kept(size: int) -> int:
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each: saved.append(each.numel()) or each, lambda each: each
        ):
            in_pieces(encoder, torch.randn(32, 6).split(size))
        return sum(saved)

    assert kept(8) < kept(32) / 2

import torch

from tonggan.layers.masked_convolution import MaskedConvolution


def test_padding_is_zero_and_changes_nothing():
    torch.manual_seed(0)
    layer = MaskedConvolution(1, 3, stride=2, activation="relu").eval()
    values = torch.randn(2, 1, 7, 5)
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    values = values * mask[:, None, :, None]
    found, left = layer(values, mask)
    assert left.tolist() == [[True] * 4, [True, True, False, False]]
    assert (found[1, :, 2:] == 0).all()
    alone, _ = layer(values[1:, :, :4], mask[1:, :4])
    torch.testing.assert_close(found[1:, :, :2], alone)

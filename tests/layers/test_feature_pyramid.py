import pytest
import torch
import torch.nn.functional as F

from tonggan.layers.feature_pyramid import FeaturePyramid


def maps(batch=2):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch, channels, side, side, generator=generator)
        for channels, side in ((3, 9), (4, 5), (6, 3))  # odd sides: each is half of the one before, rounded up
    ]


@pytest.mark.parametrize("upward", [False, True])
def test_shapes_and_who_speaks_to_whom(upward):
    torch.manual_seed(0)
    pyramid = FeaturePyramid((3, 4, 6), width=5, upward=upward, activation="gelu").eval()
    read = [each.requires_grad_() for each in maps()]
    found = pyramid(read)
    assert [tuple(each.shape) for each in found] == [(2, 5, 9, 9), (2, 5, 5, 5), (2, 5, 3, 3)]
    for level, each in enumerate(found):
        gradients = torch.autograd.grad(each.sum(), read, retain_graph=True, allow_unused=True)
        heard = [gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients]
        # The fine ones hear the coarse ones; the other way round only with the way back.
        assert heard == [upward or source >= level for source in range(3)]


def test_a_level_written_out():
    torch.manual_seed(0)
    pyramid = FeaturePyramid((3, 4), width=5, upward=False, activation="relu").eval()
    fine, coarse = maps()[:2]

    def run(block, values, padding):
        scale = (1 + block[0][1].eps) ** -0.5  # of a norm that has seen nothing yet
        return (F.conv2d(values, block[0][0].weight, padding=padding) * scale).relu()

    below = run(pyramid.laterals[1], coarse, 0)
    nearest = torch.arange(9) * 5 // 9
    repeated = below[:, :, nearest][:, :, :, nearest]
    expected = run(pyramid.down[0], run(pyramid.laterals[0], fine, 0) + repeated, 1)
    torch.testing.assert_close(pyramid([fine, coarse])[0], expected)


def test_one_map():
    (found,) = FeaturePyramid((3,), width=2, upward=True, activation="silu")(maps()[:1])
    assert found.shape == (2, 2, 9, 9)

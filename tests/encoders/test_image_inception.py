import pytest
import torch
import torch.nn.functional as F

from contracts import check_encoder
from tonggan.encoders.image_inception import ImageInceptionConfig, MixedBlock, ReductionBlock
from tonggan.errors import ConfigError
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays


def pictures(size: int = 10) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (4, 3, size, size), generator=generator, dtype=torch.uint8)
    return Arrays(values, torch.tensor([True, False, True, False]))


def build(config: ImageInceptionConfig, size: int = 10) -> torch.nn.Module:
    return config.build(Image(ImageConfig(size=size)), dim=6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pool": "mean", "activation": "gelu", "dropout": 0.2, "blocks": (0, 1)},
        {"stem_stride": 2, "reaches": (7, 9), "pool": "max"},
    ],
)
def test_contract(settings):
    given = {"stem_channels": 4, "channels": (8, 12), "blocks": (0, 0), "reaches": (3, 5)}
    check_encoder(ImageInceptionConfig(**(given | settings)), build, pictures(), dim=6)


def test_a_mixed_block_is_its_four_branches():
    torch.manual_seed(0)
    block = MixedBlock(6, 8, reach=5, activation="relu")
    values = torch.randn(3, 6, 7, 7)

    def normalized(convolved):
        mean = convolved.mean(dim=(0, 2, 3), keepdim=True)
        return ((convolved - mean) / (convolved.var(dim=(0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()).relu()

    # As the paper draws it: each branch with a convolution of its own, and the mean taken of the input.
    first, near, far, pooled = block.first.weight.split(2)
    near = F.conv2d(normalized(F.conv2d(values, near)), block.near[0].weight, padding=1)
    far = normalized(F.conv2d(normalized(F.conv2d(values, far)), block.wide.weight, padding=(0, 2)))
    far = F.conv2d(far, block.high.weight, padding=(2, 0))
    mean = F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    branches = [F.conv2d(values, first), near, far, F.conv2d(mean, pooled)]
    expected = torch.cat([normalized(branch) for branch in branches], dim=1)
    torch.testing.assert_close(block(values), expected, rtol=1e-3, atol=1e-4)


def test_a_reduction_halves_and_rounds_up():
    block = ReductionBlock(4, 6, activation="relu").eval()
    values = torch.rand(2, 4, 7, 7)
    output = block(values)
    assert output.shape == (2, 6, 4, 4)
    kept = F.conv2d(F.max_pool2d(values, 2, ceil_mode=True), block.kept[0].weight).relu()
    torch.testing.assert_close(output[:, 3:], kept, rtol=1e-4, atol=1e-4)


def test_two_thin_filters_see_as_far_as_a_square_one():
    """Of one channel: 1 x n and n x 1 give the outer product."""
    block = MixedBlock(4, 4, reach=3, activation="relu").eval()
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 4, 4] = 1
    seen = F.conv2d(F.conv2d(point, block.wide.weight, padding=(0, 1)), block.high.weight, padding=(1, 0))
    rows, columns = block.high.weight.flatten(), block.wide.weight.flatten()
    torch.testing.assert_close(seen[0, 0, 3:6, 3:6], torch.outer(rows.flip(0), columns.flip(0)))
    assert seen.count_nonzero() == 9


@pytest.mark.parametrize(("size", "side"), [(32, 8), (48, 12), (64, 8), (224, 7), (33, 9)])
def test_pictures_of_any_size(size, side):
    config = ImageInceptionConfig(stem_channels=2, channels=(4, 4, 4), blocks=(0, 0, 0))
    with torch.no_grad():
        assert build(config, size).eval()(pictures(size)).values.shape == (4, side**2, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": [8, 8]}, "one entry for each stage"),
        ({"channels": [96, 190, 320]}, "multiples of 4"),
        ({"reaches": [3, 4, 3]}, r"reaches\[1\]"),
    ],
)
def test_config_errors(settings, message):
    with pytest.raises(ConfigError, match=message):
        ImageInceptionConfig.parse(settings, who="recipe")


def test_feature_maps():
    config = ImageInceptionConfig(stem_channels=4, stem_stride=4, channels=(8, 12), blocks=(1, 0), reaches=(3, 3))
    encoder = build(config, size=37).eval()
    assert encoder.map_channels == {2: 4, 4: 8, 8: 12}
    encoder.gives_maps = True
    with torch.no_grad():
        tokens = encoder(pictures(37))
    assert [tuple(each.shape[1:]) for each in tokens.maps] == [(4, 19, 19), (8, 10, 10), (12, 5, 5)]
    cells = encoder.projection(tokens.maps[-1].flatten(2).transpose(1, 2)) + encoder.positions
    torch.testing.assert_close(cells[0], tokens.values[0])

import pytest
import torch
import torch.nn.functional as F

from contracts import check_encoder
from tonggan.encoders.image_resnet import ImageResNetConfig, ResidualBlock
from tonggan.errors import ConfigError
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays


def pictures(size: int = 10) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (4, 3, size, size), generator=generator, dtype=torch.uint8)
    return Arrays(values, torch.tensor([True, False, True, False]))


def build(config: ImageResNetConfig, size: int = 10) -> torch.nn.Module:
    return config.build(Image(ImageConfig(size=size)), dim=6)


@pytest.mark.parametrize(
    "settings",
    [
        {"blocks": (1, 0), "activation": "gelu"},
        {"downsample": "stride", "strides": (1, 2), "blocks": (1, 2)},
        {"pool": "mean", "norm": "group", "activation": "silu", "dropout": 0.2, "blocks": (0, 1)},
        {"stem_stride": 2},
        {"stem_stride": 4},
    ],
)
def test_contract(settings):
    given = {"stem_channels": 4, "channels": (6, 8), "blocks": (1, 1), "strides": (2, 2)}
    check_encoder(ImageResNetConfig(**(given | settings)), build, pictures(), dim=6)


@pytest.mark.parametrize("stride", [1, 2])
def test_block_written_out(stride):
    torch.manual_seed(0)
    block = ResidualBlock(3, 5, stride=stride, norm="batch", activation="relu")
    values = torch.randn(4, 3, 7, 7)

    def normalized(convolved):
        mean = convolved.mean(dim=(0, 2, 3), keepdim=True)
        return (convolved - mean) / (convolved.var(dim=(0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()

    first, second, shortcut = block.first[0].weight, block.second[0].weight, block.shortcut[0].weight
    inner = normalized(F.conv2d(values, first, stride=stride, padding=1)).relu()
    inner = normalized(F.conv2d(inner, second, padding=1))
    expected = (normalized(F.conv2d(values, shortcut, stride=stride)) + inner).relu()
    torch.testing.assert_close(block(values), expected, rtol=1e-4, atol=1e-5)


def test_shortcut_is_the_identity_where_shapes_stay():
    block = ResidualBlock(4, 4, stride=1, norm="group", activation="relu")
    block.second[1].weight.data.zero_()
    values = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(values), values)


@pytest.mark.parametrize(
    ("size", "stem_stride", "side"), [(32, None, 4), (64, None, 4), (224, None, 7), (32, 4, 1), (33, 1, 5), (50, 2, 4)]
)
def test_grid_size(size, stem_stride, side):
    # Three halvings after the stem, which shrinks by 1, 2 or 4 when left to the size.
    config = ImageResNetConfig(stem_channels=2, channels=(2, 2, 2), blocks=(0, 0, 0), stem_stride=stem_stride)
    with torch.no_grad():
        assert build(config, size).eval()(pictures(size)).values.shape == (4, side**2, 6)


def test_resnet_9_has_its_number_of_weights():
    # Page's ResNet-9: convolutions 3-64-128-256-512, two convolutions in the blocks of 128 and 512 channels.
    config = ImageResNetConfig(stem_channels=64, channels=(128, 256, 512), blocks=(1, 0, 1))
    encoder = build(config, 32)
    pairs = [(3, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    convolutions = sum(9 * before * after for before, after in pairs)
    norms = 2 * sum(after for _, after in pairs)
    assert sum(parameter.numel() for parameter in encoder.trunk.parameters()) == convolutions + norms


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": [8, 8]}, "one entry for each stage"),
        ({"downsample": "stride", "blocks": [1, 0, 1]}, "at least one block in each stage"),
        ({"strides": [3, 2, 2]}, r"strides\[0\]: one of 1, 2"),
    ],
)
def test_config_errors(settings, message):
    with pytest.raises(ConfigError, match=message):
        ImageResNetConfig.parse(settings, who="recipe")


def test_mixed_precision_keeps_the_present_rows():
    encoder = build(ImageResNetConfig(stem_channels=4, channels=(8,), blocks=(1,), strides=(2,))).eval()
    with torch.no_grad():
        full = encoder(pictures())
        with torch.autocast("cpu", torch.bfloat16):
            half = encoder(pictures())
    assert torch.equal(half.mask, full.mask)
    torch.testing.assert_close(half.values.float(), full.values, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
@pytest.mark.parametrize("downsample", ["stride", "max_pool"])
def test_feature_maps(stem_stride, downsample):
    config = ImageResNetConfig(
        stem_channels=4,
        stem_stride=stem_stride,
        channels=(5, 6, 7),
        blocks=(1, 2, 1),
        strides=(1, 2, 2),
        downsample=downsample,
        pool="mean",
    )
    encoder = build(config, size=37).eval()
    given = pictures(37)
    with torch.no_grad():
        plain = encoder(given)
        assert not plain.maps  # until a head asks for them
        encoder.gives_maps = True
        tokens = encoder(given)
    assert torch.equal(tokens.values, plain.values)
    strides = [stem_stride, 2 * stem_stride, 4 * stem_stride]
    assert list(encoder.map_channels.items()) == list(zip(strides, (5, 6, 7), strict=True))
    sides = [-(-37 // stride) for stride in strides]
    assert [tuple(each.shape) for each in tokens.maps] == [
        (4, channels, side, side) for channels, side in zip((5, 6, 7), sides, strict=True)
    ]
    # The last one is what the Tokens are made of.
    mean = encoder.projection(tokens.maps[-1].mean(dim=(2, 3)))
    torch.testing.assert_close(mean[given.mask], tokens.values[given.mask, 0])

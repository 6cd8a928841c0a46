import pytest
import torch
import torch.nn.functional as F

from contracts import check_encoder
from tonggan.encoders.image_cnn import ImageCNNConfig
from tonggan.errors import ConfigError
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays


def pictures(size: int = 10, mask: tuple[bool, ...] = (True, True, False)) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (len(mask), 3, size, size), generator=generator, dtype=torch.uint8)
    return Arrays(values, torch.tensor(mask))


def build(config: ImageCNNConfig, size: int = 10) -> torch.nn.Module:
    return config.build(Image(ImageConfig(size=size)), dim=6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pool": "mean", "activation": "gelu", "dropout": 0.2},
        {"norm": "group", "activation": "silu", "convolutions": 1},
        {"norm": "none", "pool": "max"},
        {"whiten": True, "pool_first": True, "activation": "gelu", "pool": "max"},
    ],
)
def test_contract(settings):
    config = ImageCNNConfig(channels=(4, 8), **settings)
    check_encoder(config, build, pictures(), dim=6)


def test_equals_a_network_written_out():
    torch.manual_seed(0)
    encoder = build(ImageCNNConfig(channels=(4, 8), convolutions=1, norm="none"))
    values = pictures().values
    (first, second) = (encoder.trunk[0][0], encoder.trunk[3][0])
    inner = (values.float() - 128) / 64
    inner = F.max_pool2d(F.conv2d(inner, first.weight, first.bias, padding=1).relu(), 2)
    inner = F.max_pool2d(F.conv2d(inner, second.weight, second.bias, padding=1).relu(), 2, ceil_mode=True)
    tokens = encoder(pictures(mask=(True, True, True)))
    assert tokens.values.shape == (3, 9, 6)
    # The token of row 2, column 1 of the 3x3 grid.
    expected = inner[:, :, 2, 1] @ encoder.projection.weight.T + encoder.projection.bias + encoder.positions[7]
    torch.testing.assert_close(tokens.values[:, 7], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [(False, False, False), (False, True, False)])
def test_training_with_hardly_a_picture(mask):
    encoder = build(ImageCNNConfig(channels=(4,))).train()
    tokens = encoder(pictures(mask=mask))
    assert tokens.present.tolist() == list(mask)
    tokens.values.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


def test_absent_pictures_leave_the_statistics_alone():
    torch.manual_seed(0)
    encoder = build(ImageCNNConfig(channels=(4,)))
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(pictures(mask=(True, True, False)))
    with_absent = encoder.state_dict()
    with_absent = {name: value.clone() for name, value in with_absent.items()}
    encoder.load_state_dict(state)
    encoder(pictures().take(torch.tensor([0, 1])))
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, with_absent[name])


def test_a_single_pixel_is_enough():
    assert build(ImageCNNConfig(channels=(4, 4, 4, 4, 4)), size=8)(pictures(8)).values.shape == (3, 1, 6)


def test_a_typo_is_answered_with_its_path():
    with pytest.raises(ConfigError, match="norm = 'bath'"):
        ImageCNNConfig.parse({"norm": "bath"}, who="recipe")
    with pytest.raises(ConfigError, match="channels"):
        ImageCNNConfig.parse({"channels": []}, who="recipe")


def test_feature_maps():
    encoder = build(ImageCNNConfig(channels=(4, 5), convolutions=2)).eval()
    assert encoder.map_channels == {1: 4, 2: 5, 4: 5}
    encoder.gives_maps = True
    with torch.no_grad():
        tokens = encoder(pictures())
    assert [each.shape[1] for each in tokens.maps] == [4, 5, 5]
    assert [each.shape[-1] for each in tokens.maps] == [10, 5, 3]
    # The last is a maximum of the one before.
    torch.testing.assert_close(tokens.maps[2][0, :, 0, 0], tokens.maps[1][0, :, :2, :2].amax(dim=(1, 2)))


def test_pooling_first_gives_maps_of_the_same_strides():
    late, early = (build(ImageCNNConfig(channels=(4, 8), pool_first=first)) for first in (False, True))
    assert late.map_channels == {1: 4, 2: 8, 4: 8}
    assert early.map_channels == {2: 4, 4: 8}
    whole = pictures(mask=(True, True, True))
    assert early(whole).values.shape == late(whole).values.shape


def test_adapting_whitens_what_the_first_layer_gives():
    encoder = build(ImageCNNConfig(channels=(4,), whiten=True), size=16)
    seen = pictures(size=16, mask=(True,) * 40 + (False,))
    seen.values[:, 1] = seen.values[:, 0] // 2 + seen.values[:, 1] // 4  # channels that tell of one another
    encoder.adapt(seen)
    first = encoder.trunk[0]
    given = first((seen.values[seen.mask].float() - 128) / 64)[:, :, :-1, :-1]
    rows = given.movedim(1, -1).flatten(0, 2)
    moment = (rows.T @ rows / len(rows))[:12, :12]
    torch.testing.assert_close(moment, torch.eye(12), rtol=0, atol=0.1)
    torch.testing.assert_close(given[:, 12:], -given[:, :12])
    assert not any("filters" in name for name, _ in encoder.named_parameters())


def test_adapting_to_no_picture_changes_nothing():
    encoder = build(ImageCNNConfig(channels=(4,), whiten=True))
    before = encoder.trunk[0].filters.clone()
    encoder.adapt(pictures(mask=(False, False)))
    assert torch.equal(encoder.trunk[0].filters, before)

import pytest
import torch
import torch.nn.functional as F

from contracts import check_encoder
from tonggan.encoders.image_vit import ImageViTConfig
from tonggan.errors import ConfigError
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays


def pictures(size: int = 10, mask: tuple[bool, ...] = (True, False, True, False)) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (len(mask), 3, size, size), generator=generator, dtype=torch.uint8)
    return Arrays(values, torch.tensor(mask))


def build(config: ImageViTConfig, size: int = 10) -> torch.nn.Module:
    return config.build(Image(ImageConfig(size=size)), dim=8)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pool": "mean", "width": 12, "convolutions": 1},
        {"pool": "attention", "num_layers": 0, "convolutions": 3},
    ],
)
def test_contract(settings):
    config = ImageViTConfig(**({"num_layers": 1, "num_heads": 2, "stem_channels": 4, "dropout": 0} | settings))
    check_encoder(config, build, pictures(), dim=8)


def test_equals_pytorch_s_own_transformer():
    torch.manual_seed(0)
    encoder = build(ImageViTConfig(num_layers=2, num_heads=2, stem_channels=4, dropout=0, pool="attention")).eval()
    layer = torch.nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=16, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
    peer = torch.nn.TransformerEncoder(layer, 2, norm=torch.nn.LayerNorm(8), enable_nested_tensor=False).eval()
    for own, other in zip(encoder.transformer.blocks, peer.layers, strict=True):
        pairs = {
            other.norm1: own.attention_norm,
            other.norm2: own.mlp_norm,
            other.linear1: own.mlp[0],
            other.linear2: own.mlp[3],
            other.self_attn.out_proj: own.attention.out_projection,
        }
        for theirs, ours in pairs.items():
            theirs.load_state_dict(ours.state_dict())
        other.self_attn.in_proj_weight.data.copy_(own.attention.in_projection.weight)
        other.self_attn.in_proj_bias.data.copy_(own.attention.in_projection.bias)
    given = pictures(mask=(True, True))
    values = (given.values.float() - 128) / 64
    for convolution in encoder.convolutions:
        values = F.max_pool2d(F.conv2d(values, convolution.weight, padding=1).relu(), 3, stride=2, padding=1)
    cells = peer(values.flatten(2).transpose(1, 2) + encoder.positions)
    shares = encoder.weighting(cells).softmax(dim=1)  # sequence pooling, as the paper has it
    expected = (shares * cells).sum(dim=1, keepdim=True)
    torch.testing.assert_close(encoder(given).values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "side"), [(32, 8), (33, 9), (64, 8), (224, 14)])
def test_fewer_tokens_than_pixels(size, side):
    config = ImageViTConfig(num_layers=0, num_heads=1, stem_channels=2)
    with torch.no_grad():
        assert build(config, size)(pictures(size)).values.shape == (4, side**2, 8)


@pytest.mark.parametrize("mask", [(False, False), (False, True)])
def test_training_with_hardly_a_picture(mask):
    encoder = build(ImageViTConfig(num_layers=1, num_heads=2, stem_channels=4)).train()
    tokens = encoder(pictures(mask=mask))
    assert tokens.present.tolist() == list(mask)
    tokens.values.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


def test_feature_maps():
    encoder = build(ImageViTConfig(num_layers=1, num_heads=2, stem_channels=4, width=6), size=37).eval()
    assert encoder.map_channels == {2: 4, 4: 6, 8: 6, 16: 6}
    encoder.gives_maps = True
    with torch.no_grad():
        tokens = encoder(pictures(37, mask=(True, True)))
    assert [tuple(each.shape[1:]) for each in tokens.maps] == [(4, 19, 19), (6, 10, 10), (6, 5, 5), (6, 3, 3)]
    # That of the transformer's own stride is what the Tokens are made of.
    torch.testing.assert_close(encoder.projection(tokens.maps[1].flatten(2).transpose(1, 2)), tokens.values)
    torch.testing.assert_close(tokens.maps[2][0, :, 0, 0], tokens.maps[1][0, :, :2, :2].amax(dim=(1, 2)))


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="width 8 with 3 heads"):
        build(ImageViTConfig(num_heads=3))

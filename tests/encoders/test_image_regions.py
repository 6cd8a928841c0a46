"""Regions of a small real run that finds squares."""

from pathlib import Path

import pytest
import torch

import detection_scene
from contracts import check_encoder
from tonggan.encoders import EncoderConfig
from tonggan.encoders.image_regions import ImageRegionsConfig
from tonggan.errors import ConfigError, DataError
from tonggan.layers.boxes import roi_align
from tonggan.modalities.image import Image, ImageConfig
from tonggan.tokens import Arrays

SIZE = detection_scene.SIZE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    detection_scene.fit(folder, "objects", settings=(*detection_scene.DETECT, "audit_alone=false"), task="detect")
    return folder


def pictures() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 50, (3, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    values[0, 0, 20:36, 10:26] = 230  # a red square
    return Arrays(values, torch.tensor([True, True, False]))


def build(config: ImageRegionsConfig) -> torch.nn.Module:
    return config.build(config.prepare(ImageConfig()).build(), dim=8)


def test_contract(run):
    config = ImageRegionsConfig(run=str(run / "run"), limit=5)
    check_encoder(config, build, pictures(), dim=8)
    assert EncoderConfig.parse(config.to_dict(), who="test") == config


def test_proposals_are_those_of_the_run(run):
    config = ImageRegionsConfig(run=str(run / "run"), limit=3, min_score=0.3, side=1)
    encoder = build(config).eval()
    given = pictures()
    with torch.no_grad():
        boxes, maps = encoder.detector(given.take(torch.tensor([0])))
        tokens = encoder(given)
    best = boxes[0][0]
    assert best[4] > 0.3
    torch.testing.assert_close(best[:4], torch.tensor([10.0, 20, 26, 36]), rtol=0, atol=4)
    assert 2 <= tokens.mask[0].sum() <= 4
    assert tokens.mask[2].sum() == 0
    # What stands in a token, worked out from the maps.
    whole = torch.tensor([[0.0, 0, SIZE, SIZE]])
    regions = torch.stack([torch.cat([whole, boxes[0][:1, :4]])])
    strides = encoder.detector.map_channels
    pooled = [roi_align(each, regions, stride=stride, side=1) for each, stride in zip(maps, strides, strict=True)]
    pooled = torch.cat(pooled, dim=2).flatten(2)[0]
    corners = regions[0] / SIZE
    sides = corners[:, 2:] - corners[:, :2]
    area = sides.prod(dim=1, keepdim=True).log() / torch.tensor(float(SIZE)).log()
    scores = torch.tensor([[1.0], [float(best[4])]])
    geometry = torch.cat([corners, sides, area, scores], dim=1)
    with torch.no_grad():
        values = encoder.pooled(encoder.norm(pooled)) + encoder.geometry(geometry)
        values = values + torch.stack([encoder.picture, encoder.labels.weight[int(best[5])]])
        expected = encoder.second(values)
    torch.testing.assert_close(tokens.values[0, :2], expected, rtol=1e-4, atol=1e-5)


def test_a_picture_without_proposals_is_there(run):
    encoder = build(ImageRegionsConfig(run=str(run / "run"), limit=0)).train()
    tokens = encoder(pictures())
    assert tokens.mask.tolist() == [[True], [True], [False]]
    assert not encoder.detector.training
    assert not any(parameter.requires_grad for parameter in encoder.detector.parameters())


def test_pictures_have_the_size_of_the_run(run):
    config = ImageRegionsConfig(run=str(run / "run"))
    assert (config.prepare(ImageConfig()).size, config.prepare(ImageConfig()).resize) == (SIZE, "pad")
    with pytest.raises(ConfigError, match="a column with size 32, expected 64, as in"):
        config.prepare(ImageConfig(size=32))


def test_a_run_that_is_none(run, tmp_path):
    with pytest.raises(ConfigError, match="where there is none, expected the folder of a finished run of the task"):
        ImageRegionsConfig(run=str(tmp_path / "nowhere")).prepare(ImageConfig())
    unfinished = copied(run, tmp_path / "unfinished")
    (unfinished / "bundle.json").unlink()
    with pytest.raises(ConfigError, match="an unfinished run"):
        ImageRegionsConfig(run=str(unfinished)).prepare(ImageConfig())
    damaged = copied(run, tmp_path / "damaged")
    (damaged / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="was written with another"):
        ImageRegionsConfig(run=str(damaged)).prepare(ImageConfig())


def copied(run: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("bundle.json", "recipe.yaml", "weights.safetensors"):
        (folder / name).write_bytes((run / "run" / name).read_bytes())
    return folder


def test_a_run_of_another_task(run, tmp_path):
    other = copied(run, tmp_path / "other")
    text = (other / "recipe.yaml").read_text().replace("kind: dense", "kind: linear")
    (other / "recipe.yaml").write_text("".join(line + "\n" for line in without_head_settings(text)))
    with pytest.raises(ConfigError, match="task detect that reads photo"):
        ImageRegionsConfig(run=str(other)).prepare(ImageConfig())


def without_head_settings(text: str) -> list[str]:
    import yaml

    recipe = yaml.safe_load(text)
    recipe["model"]["head"] = {"kind": "linear"}
    return yaml.safe_dump(recipe).splitlines()


def test_image_is_the_modality(run):
    assert isinstance(ImageRegionsConfig(run=str(run / "run")).prepare(ImageConfig()).build(), Image)

import pytest
import torch

from contracts import check_encoder
from tonggan.encoders.image_sift import ImageSIFTConfig, root_sift
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.keypoints import GEOMETRY, KeypointsConfig
from tonggan.modalities.text import TextConfig
from tonggan.runs.plan import resolve
from tonggan.runs.recipe import Recipe
from tonggan.tokens import Arrays


def keypoints() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    geometry = torch.rand(4, 6, GEOMETRY, generator=generator)
    descriptors = torch.randint(0, 256, (4, 6, 128), generator=generator).float()
    lengths = torch.tensor([6, 1, 4, 0])  # many, none in a blank picture, some, no picture
    values = torch.cat([geometry, descriptors], dim=2)
    values[:, 0] = 0
    mask = torch.arange(6) < lengths[:, None]
    return Arrays(values.masked_fill(~mask.unsqueeze(-1), 0), mask)


def build(config: ImageSIFTConfig) -> torch.nn.Module:
    return config.build(KeypointsConfig().build(), dim=8)


@pytest.mark.parametrize("settings", [{"num_layers": 1}, {"num_layers": 0, "width": 12}])
def test_contract(settings):
    check_encoder(ImageSIFTConfig(num_heads=2, dropout=0, **settings), build, keypoints(), dim=8)


def test_root_sift_by_hand():
    descriptor = torch.zeros(128)
    descriptor[:3] = torch.tensor([1.0, 4.0, 11.0])
    found = root_sift(descriptor)
    torch.testing.assert_close(found[:3], torch.tensor([0.25, 0.5, 11**0.5 / 4]))
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert torch.equal(root_sift(torch.zeros(128)), torch.zeros(128))


def test_keypoints_have_no_order():
    encoder = build(ImageSIFTConfig(num_layers=1, num_heads=2)).eval()
    given = keypoints().take(torch.tensor([0]))
    order = torch.tensor([0, 3, 1, 5, 2, 4])
    turned = Arrays(given.values[:, order], given.mask[:, order])
    torch.testing.assert_close(encoder(turned).values, encoder(given).values[:, order])


def test_a_blank_picture_has_an_answer_that_is_learned():
    encoder = build(ImageSIFTConfig(num_layers=1, num_heads=2, dropout=0))
    blank = keypoints().take(torch.tensor([1]))
    tokens = encoder(blank)
    assert tokens.mask.tolist() == [[True, False, False, False, False, False]]
    tokens.values[:, 0].square().sum().backward()
    assert encoder.picture.grad.abs().sum() > 0


def test_keypoints_are_left_out_in_training_and_the_picture_never():
    encoder = build(ImageSIFTConfig(num_layers=0, num_heads=2, hidden=0.9)).train()
    torch.manual_seed(0)
    tokens = encoder(keypoints())
    assert tokens.mask[:3, 0].all()
    assert tokens.mask.sum() < keypoints().mask.sum()
    assert encoder.eval()(keypoints()).mask.sum() == keypoints().mask.sum()


def test_a_column_of_pictures_becomes_one_of_keypoints(tmp_path):
    config = ImageSIFTConfig()
    assert config.prepare(ImageConfig(size=96)) == KeypointsConfig(size=96)
    assert config.prepare(TextConfig()) == TextConfig()
    from tonggan.data.readers import open_table

    path = tmp_path / "train.csv"
    path.write_text("photo,label\n" + "".join(f"{row}.png,{'ab'[row % 2]}\n" for row in range(20)))
    recipe = Recipe.parse(
        {
            "data": {"train": str(path)},
            "target": ["label"],
            "columns": {"photo": {"kind": "image"}},
            "model": {"encoders": {"photo": {"kind": "image_sift"}}},
        },
        who="test",
    )
    plan = resolve(recipe, {"train": open_table(str(path), cache=tmp_path / "cache")})
    assert plan.recipe.columns["photo"] == KeypointsConfig()

import pytest
import torch

from contracts import check_pretraining
from tonggan.encoders import ImageResNetConfig
from tonggan.encoders.image_grid import normalize_pixels
from tonggan.errors import ConfigError
from tonggan.modalities import ImageConfig
from tonggan.pretraining.masked_image import MaskedImageConfig
from tonggan.tokens import Arrays

SMALL = {"stem_channels": 4, "channels": (8, 8), "blocks": (0, 0), "strides": (2, 2)}
PICTURES = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def build(config, size=16, **settings):
    image = ImageConfig(size=size).build()
    return config.build(ImageResNetConfig(**SMALL | settings).build(image, dim=16), image, dim=16)


@pytest.mark.parametrize("patch", [None, 3])
def test_contract(patch):
    check_pretraining(MaskedImageConfig(patch=patch), build, Arrays(PICTURES, torch.tensor([True, True, True, False])))


def test_the_loss_counts_hidden_pixels_alone():
    objective = build(MaskedImageConfig(hidden=0.5, patch=4)).eval()
    with torch.no_grad():
        objective.decoder[1].weight.zero_()
        objective.decoder[1].bias.zero_()
    arrays = Arrays.whole(PICTURES)
    guessed = objective.guess(arrays, torch.Generator().manual_seed(1))
    hidden = (torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    hidden = torch.nn.functional.interpolate(hidden, size=16, mode="nearest")
    pixels = normalize_pixels(PICTURES, dtype=torch.float32).abs() * hidden
    torch.testing.assert_close(guessed.loss, pixels.sum(dim=(1, 2, 3)))
    assert guessed.count.tolist() == (3 * hidden.sum(dim=(1, 2, 3))).tolist()


def test_pictures_of_an_odd_size():
    objective = build(MaskedImageConfig(), size=19)
    guessed = objective.guess(Arrays.whole(torch.zeros(2, 3, 19, 19, dtype=torch.uint8)), None)
    assert torch.isfinite(guessed.loss).all()


def test_an_encoder_that_pools_is_refused():
    with pytest.raises(ConfigError, match=r"makes 1 tokens of a picture.*encoder\.pool=grid"):
        build(MaskedImageConfig(), pool="max")

import pytest
import torch

from contracts import check_pretraining, draw
from tonggan.encoders import ImageResNetConfig, VideoCNNRNNConfig, VideoTubeletsConfig
from tonggan.encoders.image_grid import normalize_pixels
from tonggan.errors import ConfigError
from tonggan.modalities import ImageConfig, VideoConfig
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
    guessed = objective.guess(arrays, draw(4, seed=1))
    hidden = (draw(4, seed=1)(1, 4, 4, like=PICTURES) < 0.5).float()
    hidden = torch.nn.functional.interpolate(hidden, size=16, mode="nearest")
    pixels = normalize_pixels(PICTURES, dtype=torch.float32).abs() * hidden
    torch.testing.assert_close(guessed.loss, pixels.sum(dim=(1, 2, 3)))
    assert guessed.count.tolist() == (3 * hidden.sum(dim=(1, 2, 3))).tolist()


def test_pictures_of_an_odd_size():
    objective = build(MaskedImageConfig(), size=19)
    guessed = objective.guess(Arrays.whole(torch.zeros(2, 3, 19, 19, dtype=torch.uint8)), draw(2))
    assert torch.isfinite(guessed.loss).all()


def test_an_encoder_that_pools_is_refused():
    with pytest.raises(ConfigError, match=r"makes 1 tokens of a picture.*encoder\.pool=grid"):
        build(MaskedImageConfig(), pool="max")


CLIPS = torch.randint(0, 256, (4, 6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SEEN = torch.tensor([[1, 1, 0, 1, 1, 1], [0, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0], [0] * 6], dtype=torch.bool)


def build_of_clips(config, **settings):
    video = VideoConfig(size=16, frames=5).build()
    encoder = VideoTubeletsConfig(num_layers=1, num_heads=2, patch=8, stem=(4,), **settings)
    return config.build(encoder.build(video, dim=16), video, dim=16)


@pytest.mark.parametrize("depth", [1, 2])
def test_contract_of_clips(depth):
    check_pretraining(MaskedImageConfig(), lambda config: build_of_clips(config, depth=depth), Arrays(CLIPS, SEEN))


def test_of_a_clip_the_same_places_of_all_frames_are_guessed_in_their_order():
    objective = build_of_clips(MaskedImageConfig(hidden=0.5, patch=8)).eval()
    assert (objective.cells, objective.depth) == (2, 2)
    # Each token says its own number in all its pixels, so that they are found where the frames have them.
    said = torch.arange(12.0).view(1, 12, 1).expand(2, -1, 3 * 2 * 8 * 8)
    frames = objective._pixels(said)
    assert frames.shape == (2, 6, 3, 16, 16)
    for time in range(6):
        corners = frames[0, time, 0, ::8, ::8]
        assert corners.tolist() == [[4 * (time // 2), 4 * (time // 2) + 1], [4 * (time // 2) + 2, 4 * (time // 2) + 3]]
    with torch.no_grad():
        objective.decoder[1].weight.zero_()
        objective.decoder[1].bias.zero_()
    guessed = objective.guess(Arrays(CLIPS, SEEN), draw(4, seed=1))
    hidden = (draw(4, seed=1)(1, 1, 2, 2, like=CLIPS) < 0.5).float().repeat_interleave(8, 3).repeat_interleave(8, 4)
    pixels = normalize_pixels(CLIPS.flatten(0, 1), dtype=torch.float32).view(CLIPS.shape).abs()
    expected = (pixels * hidden * SEEN[:, :, None, None, None]).sum(dim=(1, 2, 3, 4))
    torch.testing.assert_close(guessed.loss, expected)


def test_an_encoder_with_a_token_for_each_frame_is_refused():
    video = VideoConfig(size=16, frames=5).build()
    encoder = VideoCNNRNNConfig(frame=ImageResNetConfig(**SMALL)).build(video, dim=16)
    with pytest.raises(ConfigError, match="makes 1 tokens of a picture"):
        MaskedImageConfig().build(encoder, video, dim=16)

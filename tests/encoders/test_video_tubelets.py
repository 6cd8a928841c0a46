import torch

from contracts import check_encoder
from tonggan.encoders.video_tubelets import VideoTubeletsConfig
from tonggan.modalities.video import Video, VideoConfig
from tonggan.tokens import Arrays

VIDEO = Video(VideoConfig(size=20, frames=3, draws=2))
VALUES = torch.randint(0, 256, (4, 6, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0] * 6], dtype=torch.bool)


def build(config):
    return config.build(VIDEO, dim=8)


def test_contract():
    check_encoder(VideoTubeletsConfig(patch=8, num_heads=2), build, Arrays(VALUES, MASK), dim=8)


def test_tubelets_are_those_of_a_convolution_in_space_and_time():
    encoder = build(VideoTubeletsConfig(patch=8, num_layers=0)).eval()
    encoder.transformer.norm = torch.nn.Identity()
    frames = VALUES[:1, [1, 3, 5, 5]]  # the last tubelet lacks a frame
    weight = encoder.projection.weight.view(8, 2, 3, 8, 8).transpose(1, 2)
    expected = torch.nn.functional.conv3d(
        (frames.float() - 128).transpose(1, 2) / 64, weight, encoder.projection.bias, stride=(2, 8, 8)
    )
    expected = expected.flatten(3).permute(0, 2, 3, 1) + encoder.places + encoder.times[:, None]
    torch.testing.assert_close(encoder(Arrays(VALUES[:1], MASK[:1])).values, expected.flatten(1, 2))
